/** The scan over codes finds what looking at every vector finds, and remembers only what is true. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { type Entry, SqliteBackend, WriterLog } from 'agent-store'
import { type Distance, RecallIndex } from 'agent-store/recall'
import BetterSqlite3 from 'better-sqlite3'
import { CodeScan } from '../../src/recall/sqlite/code-scan.ts'
import { createDotKernel, typescriptDotKernel } from '../../src/recall/sqlite/dot-kernel.ts'
import { likeness } from '../../src/recall/vectors.ts'
import { numbers, temporaryFile } from '../support.ts'
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
  test(`all of the ten nearest under ${distance} are found, with and without a filter`, () => {
    const { index, vectors, next } = filled(distance)
    for (let i = 0; i < 50; i++) {
      const vector = next()
      assert.equal(shared(index, vectors, vector, distance, {}), 10)
      assert.equal(shared(index, vectors, vector, distance, { writer: 'w3' }), 10)
    }
  })
}

test('none is missed, however alike the vectors are', () => {
  const next = numbers(31)
  const uniform = () => next(0x7fffffff) / 0x7fffffff
  const around = (spread: number, offset = 0) => {
    const middles = Array.from({ length: 5 }, () => Float32Array.from({ length: 48 }, uniform))
    return () => (middles[next(5)] as Float32Array).map((c) => offset + c + spread * uniform())
  }
  const outlier = around(0.6)
  for (const [distance, dimensions, source] of [
    ['cosine', 48, around(0.03)],
    ['cosine', 48, around(0.001)],
    ['cosine', 2, () => Float32Array.of(uniform(), uniform())],
    ['cosine', 48, () => outlier().with(3, 100)],
    ['dot', 48, () => outlier().with(3, 30 + uniform())],
    ['l2', 48, around(0.1, 100)],
    ['l2', 1, () => Float32Array.of(1_000 + uniform())],
  ] as const) {
    const { index, vectors } = filled(distance, source, dimensions, 1_000)
    for (let i = 0; i < 10; i++) {
      const vector = source()
      assert.equal(shared(index, vectors, vector, distance, {}), 10, `${distance} ${dimensions}`)
    }
  }
})

test('the same vectors come in the order of their places, whenever they were indexed', () => {
  const db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const index = RecallIndex.create(db, 'v', {
    vectors: { model: 'm', dimensions: 2, distance: 'cosine' },
  })
  for (const writer of ['b', 'a']) {
    const payloads = Array.from({ length: 2_000 }, () => 'Done.')
    const entries = WriterLog.appendMany(db, 's', writer, payloads)
    index.index(
      entries,
      entries.map(() => [1, 0]),
    )
  }
  const { hits } = index.search({ vector: [1, 0.5], k: 3 })
  assert.deepEqual(
    hits.map(({ writer, seq }) => `${writer} ${seq}`),
    ['a 1', 'a 2', 'a 3'],
  )
})

test('what does not fit into the memory for codes is read at each search', () => {
  const { db, next } = filled('cosine')
  const stride = 32 + 48
  // All; the last pack, but not the first; none.
  const [whole, part, none] = [1e9, 2_000 * stride, 0].map(
    (bytes) => new CodeScan(db, '_agent_store_recall_1_code', 48, 'cosine', bytes),
  )
  for (let i = 0; i < 5; i++) {
    const vector = next()
    const all = { logs: undefined, fromSeq: 0, toSeq: Number.MAX_SAFE_INTEGER }
    const expected = whole?.nearest(vector, all, 20, 1n, true)
    assert.ok((expected?.length ?? 0) >= 20)
    assert.deepEqual(part?.nearest(vector, all, 20, 1n, true), expected)
    assert.deepEqual(none?.nearest(vector, all, 20, 1n, true), expected)
  }
})

test('rows of another connection are found, and those that it removed are not', (t) => {
  const file = temporaryFile(t)
  const [db, otherDb] = [0, 1].map(() => {
    const opened = SqliteBackend.open(file, { durability: 'normal' })
    t.after(() => opened.close())
    return opened
  }) as [SqliteBackend, SqliteBackend]
  WriterLog.ensureSchema(db)
  const index = RecallIndex.create(db, 'v', {
    vectors: { model: 'm', dimensions: 2, distance: 'cosine' },
  })
  const other = RecallIndex.open(otherDb, 'v')
  const entries = WriterLog.appendMany(db, 's', 'w', ['one', 'two', 'three', 'four'])
  const vectors = [
    [1, 0],
    [0, 1],
    [1, 1],
    [1, -1],
  ]
  const found = () => index.search({ vector: [1, 0.1] }).hits.map(({ seq }) => Number(seq))
  other.index(entries.slice(0, 2), vectors.slice(0, 2))
  assert.deepEqual(found(), [1, 2])
  other.index(entries.slice(2), [vectors[2] ?? null, null])
  assert.deepEqual(found(), [1, 3, 2])
  const epoch = () => db.query('SELECT epoch FROM _agent_store_recall')[0]?.[0]
  const before = epoch()
  other.index(entries.slice(3), vectors.slice(3)) // Where there was none; no code is gone.
  assert.equal(epoch(), before)
  assert.deepEqual(found(), [1, 3, 4, 2])
  other.clear()
  assert.deepEqual(found(), [])
  other.index(entries.slice(1, 2), vectors.slice(1, 2))
  assert.deepEqual(found(), [2])
})

test('a read that fails inside a transaction leaves none of its rows behind', () => {
  const { db, index, next } = filled('cosine')
  const vector = next()
  const before = index.search({ vector }).hits
  const query = db.query.bind(db)
  assert.throws(
    () =>
      db.transaction(() => {
        const entries = WriterLog.appendMany(db, 's', 'gone', new Array(2_100).fill('x'))
        index.index(
          entries,
          entries.map(() => next()),
        )
        let packs = 0
        db.query = (sql, params) => {
          if (sql.includes('group_concat(code') && ++packs === 2) throw new Error('cut off')
          return query(sql, params)
        }
        index.search({ vector })
      }),
    /cut off/,
  )
  db.query = query
  assert.deepEqual(index.search({ vector }).hits, before)
  index.index(WriterLog.appendMany(db, 's', 'new', ['x']), [vector])
  assert.equal(index.search({ vector }).hits[0]?.writer, 'new')
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

test('an SQLite without FTS5, or too old for it, is named, with what to take in its place', () => {
  const db = SqliteBackend.inMemory()
  // Stands in for such an SQLite, which is not to be had here.
  const query = db.query.bind(db)
  db.query = (sql, params) => (sql.includes('pragma_module_list') ? [] : query(sql, params))
  assert.throws(() => RecallIndex.create(db, 'words'), {
    code: 'RECALL_EXTENSION',
    message: /without FTS5.*SqliteBackend\.open/,
  })
  db.query = (sql, params) => (sql.includes('sqlite_version') ? [['3.42.0']] : query(sql, params))
  assert.throws(() => RecallIndex.create(db, 'words'), {
    code: 'RECALL_EXTENSION',
    message: /3\.43 or later, and this is 3\.42\.0;/,
  })
  assert.deepEqual(RecallIndex.names(db), [])
})

/** Ten writers with clustered vectors. */
function filled(distance: Distance, next = clustered(48, 40, 11), dimensions = 48, count = COUNT) {
  const db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const index = RecallIndex.create(db, 'v', { vectors: { model: 'm', dimensions, distance } })
  const vectors: { readonly entry: Entry; readonly vector: Float32Array }[] = []
  for (let w = 0; w < 10; w++) {
    const payloads = Array.from({ length: count / 10 }, (_, i) => `turn ${i}`)
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
