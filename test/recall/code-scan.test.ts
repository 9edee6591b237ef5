/** The scan over codes finds what looking at every vector finds, and remembers only what is true. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { type Entry, SqliteBackend, WriterLog } from 'agent-store'
import { type Distance, RecallIndex } from 'agent-store/recall'
import BetterSqlite3 from 'better-sqlite3'
import { CodeScan } from '../../src/recall/code-scan.ts'
import { createDotKernel, typescriptDotKernel } from '../../src/recall/dot-kernel.ts'
import { likeness } from '../../src/recall/vectors.ts'
import { numbers } from '../support.ts'
import { clustered } from './clustered.ts'

const COUNT = 4_000

test('both kernels give the same numbers, at the ends of their ranges too', () => {
  const [wasm, plain] = [createDotKernel(), typescriptDotKernel()]
  const next = numbers(5)
  for (const components of [16, 384, 2_000, 8_192]) {
    const stride = 32 + components
    const query = Int16Array.from({ length: components }, (_, i) =>
      components === 8_192 ? 2_047 : i % 5 === 0 ? -2_047 : next(4_095) - 2_047,
    )
    const records = Int8Array.from({ length: 7 * stride }, () =>
      components === 8_192 ? 127 : next(255) - 127,
    )
    for (const kernel of [wasm, plain]) {
      kernel.reserve(records.length)
      kernel.records.set(new Uint8Array(records.buffer))
      kernel.setQuery(query)
    }
    const expected = Array.from({ length: 6 }, (_, i) =>
      query.reduce((sum, c, j) => sum + c * (records[(i + 1) * stride + 32 + j] ?? 0), 0),
    )
    assert.deepEqual([...wasm.scan(stride, 6, stride, 32)], expected)
    assert.deepEqual([...plain.scan(stride, 6, stride, 32)], expected)
  }
})

for (const distance of ['cosine', 'dot', 'l2'] as const) {
  test(`recall@10 under ${distance} is at least 0.99, with and without a filter`, () => {
    const { index, vectors, next } = filled(distance)
    let [hits, filtered] = [0, 0]
    for (let i = 0; i < 50; i++) {
      const vector = next()
      hits += shared(index, vectors, vector, distance, {})
      filtered += shared(index, vectors, vector, distance, { writer: 'w3' })
    }
    assert.ok(hits >= 495, `${hits} of 500`)
    assert.ok(filtered >= 495, `${filtered} of 500 under a filter`)
  })
}

test('what does not fit into the memory for codes is read at each search', () => {
  const { db, next } = filled('cosine')
  const [whole, part, none] = [1e9, 100_000, 0].map(
    (bytes) => new CodeScan(db, '_agent_store_recall_1_code', 48, 'cosine', bytes),
  )
  for (let i = 0; i < 5; i++) {
    const vector = next()
    const all = { logs: undefined, fromSeq: 0, toSeq: Number.MAX_SAFE_INTEGER }
    const expected = whole?.nearest(vector, all, 20, 1n, true)
    assert.equal(expected?.length, 20)
    assert.deepEqual(part?.nearest(vector, all, 20, 1n, true), expected)
    assert.deepEqual(none?.nearest(vector, all, 20, 1n, true), expected)
  }
})

test('rows of another connection are found, and those that it removed are not', () => {
  const { db, index, next } = filled('cosine')
  const vector = next()
  const before = index.search({ vector }).hits
  const other = RecallIndex.open(db, 'v')
  const added = WriterLog.appendMany(db, 's', 'new', ['one'])
  other.index(added, [vector])
  assert.equal(index.search({ vector }).hits[0]?.writer, 'new')
  other.clear()
  assert.deepEqual(index.search({ vector }).hits, [])
  other.index(added, [vector])
  assert.equal(index.search({ vector }).hits.length, 1)
  assert.equal(before.length, 10)
})

test('a file in UTF-16 and a connection of another driver serve as well', () => {
  const utf16 = new DatabaseSync(':memory:')
  utf16.exec("PRAGMA encoding = 'UTF-16'")
  for (const connection of [utf16, new BetterSqlite3(':memory:')]) {
    const db = SqliteBackend.fromConnection(connection)
    WriterLog.ensureSchema(db)
    const entries = WriterLog.appendMany(db, 's', 'w', ['übel', 'gut', 'besser'])
    const index = RecallIndex.create(db, 'v', {
      vectors: { model: 'm', dimensions: 3, distance: 'cosine' },
    })
    index.index(entries, [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
    assert.equal(index.search({ vector: [0, 1, 0.1] }).hits[0]?.seq, 2n)
    assert.equal(index.search({ text: 'ÜBEL' }).hits[0]?.seq, 1n)
    connection.close()
  }
})

test('an SQLite without FTS5 is named, with what to take in its place', () => {
  const db = SqliteBackend.inMemory()
  // Stands in for one that was built without it, which is not to be had here.
  const query = db.query.bind(db)
  db.query = (sql, params) => (sql.includes('pragma_module_list') ? [] : query(sql, params))
  assert.throws(() => RecallIndex.create(db, 'words'), {
    code: 'RECALL_EXTENSION',
    message: /FTS5.*SqliteBackend\.open/,
  })
  assert.deepEqual(RecallIndex.names(db), [])
})

/** Ten writers with clustered vectors. */
function filled(distance: Distance) {
  const db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const next = clustered(48, 40, 11)
  const index = RecallIndex.create(db, 'v', { vectors: { model: 'm', dimensions: 48, distance } })
  const vectors: { readonly entry: Entry; readonly vector: Float32Array }[] = []
  for (let w = 0; w < 10; w++) {
    const payloads = Array.from({ length: COUNT / 10 }, (_, i) => `turn ${i}`)
    const entries = WriterLog.appendMany(db, 's', `w${w}`, payloads)
    const made = entries.map((entry) => ({ entry, vector: next() }))
    index.index(
      entries,
      made.map(({ vector }) => vector),
    )
    vectors.push(...made)
  }
  return { db, index, vectors, next }
}

/** How many of the ten nearest are among the ten that were found. */
function shared(
  index: RecallIndex,
  vectors: ReturnType<typeof filled>['vectors'],
  vector: Float32Array,
  distance: Distance,
  filter: { readonly writer?: string },
): number {
  const unit = (v: Float32Array) => {
    const length = distance === 'cosine' ? Math.hypot(...v) : 1
    return v.map((component) => component / length)
  }
  const nearest = vectors
    .filter(({ entry }) => filter.writer === undefined || entry.writer === filter.writer)
    .map(({ entry, vector: other }) => ({
      key: `${entry.writer} ${entry.seq}`,
      score: likeness(unit(vector), unit(other), distance),
    }))
    .sort((a, b) => b.score - a.score)
    .slice(0, 10)
    .map(({ key }) => key)
  const { hits } = index.search({ vector, ...filter })
  assert.equal(hits.length, 10)
  return hits.filter(({ writer, seq }) => nearest.includes(`${writer} ${seq}`)).length
}
