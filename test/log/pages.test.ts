/**
 * Pages: whatever their kind, they hold the entries of the range, in order and bounded.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type Entry, SqliteBackend, WriterLog } from 'agent-store'
import { genesisIndex } from '../../src/log/packed-page.ts'
import { type LogPage, pages, type Range, rowPage } from '../../src/log/pages.ts'
import { entriesOf, lazyEntriesOf } from '../../src/log/rows.ts'
import { noise, plain } from '../support.ts'

const LAST = 2n ** 63n - 1n

function logOf(sizes: readonly number[], encoding = 'UTF-8'): SqliteBackend {
  const db = SqliteBackend.inMemory()
  db.exec(`PRAGMA encoding = '${encoding}'`)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(db, 's', 'v', ['before'])
  WriterLog.appendMany(
    db,
    's',
    'w',
    sizes.map((size, i) => noise(size, i + 1)),
  )
  WriterLog.appendMany(db, 's', 'x', ['behind'])
  return db
}

/** The same entries, read one by one and not by page. */
function oneByOne(db: SqliteBackend, { from, to, reverse }: Range): Entry[] {
  const order = reverse === true ? 'DESC' : 'ASC'
  return db
    .query(
      `SELECT seq FROM _agent_store_log WHERE stream = 's' AND writer = 'w'
       AND seq BETWEEN ? AND ? ORDER BY seq ${order}`,
      [from, to],
    )
    .map(([seq]) => WriterLog.entry(db, 's', 'w', seq as bigint) as Entry)
}

function check(db: SqliteBackend, range: Range, limit?: number): LogPage[] {
  const found = [...pages(db, 's', 'w', range, { limit })]
  const expected = oneByOne(db, range).slice(0, limit ?? Number.POSITIVE_INFINITY)
  const whole = found.flatMap((page) => [...entriesOf('s', 'w', page)])
  const lazy = found.flatMap((page) => [...lazyEntriesOf('s', 'w', page)])
  assert.deepEqual(whole, expected)
  assert.deepEqual(lazy.map(plain), expected)
  return found
}

const small = (count: number) => Array.from({ length: count }, (_, i) => i % 40)

for (const encoding of ['UTF-8', 'UTF-16']) {
  test(`${encoding}: ranges around the page borders, both ways`, () => {
    for (const count of [0, 1, 511, 512, 513, 1023, 1024, 1025]) {
      using db = logOf(small(count), encoding)
      for (const reverse of [false, true]) {
        check(db, { from: 1n, to: LAST, reverse })
        check(db, { from: -LAST, to: LAST, reverse })
      }
    }
  })

  test(`${encoding}: parts of a log, and limits`, () => {
    using db = logOf(small(1030), encoding)
    for (const reverse of [false, true]) {
      for (const [from, to] of [
        [2n, 2n],
        [1n, 1n],
        [2n, 513n],
        [2n, 514n],
        [511n, 513n],
        [1029n, 5000n],
        [1031n, 5000n],
        [5n, 4n],
      ] as const) {
        check(db, { from, to, reverse })
      }
      for (const limit of [0, 1, 2, 511, 512, 513, 1024, 1030, 5000]) {
        check(db, { from: 1n, to: LAST, reverse }, limit)
        check(db, { from: 300n, to: LAST, reverse }, limit)
        check(db, { from: -LAST, to: 900n, reverse }, limit)
      }
    }
  })

  test(`${encoding}: large payloads among small ones, and gaps`, () => {
    const sizes = Array.from({ length: 700 }, (_, i) => [3, 16_383, 16_384, 16_385, 0][i % 97] ?? 7)
    using db = logOf(sizes, encoding)
    for (const reverse of [false, true]) check(db, { from: 1n, to: LAST, reverse })
    db.exec(
      "DELETE FROM _agent_store_log WHERE writer = 'w' AND seq IN (1, 3, 64, 200, 201, 202, 513)",
    )
    for (const reverse of [false, true]) {
      check(db, { from: 1n, to: LAST, reverse })
      check(db, { from: 1n, to: LAST, reverse }, 100)
      check(db, { from: 199n, to: 204n, reverse })
    }
  })
}

test('small entries come packed, 512 to a page', () => {
  using db = logOf(small(1025))
  for (const reverse of [false, true]) {
    const found = check(db, { from: 1n, to: 1025n, reverse })
    assert.deepEqual(
      found.map((page) => (page.kind === 'packed' ? page.count : 0)),
      [512, 512, 1],
    )
  }
})

test('a UTF-16 database is read row by row', () => {
  using db = logOf(small(100), 'UTF-16')
  assert.equal(db.query('PRAGMA encoding')[0]?.[0], 'UTF-16le')
  assert.deepEqual(
    new Set(check(db, { from: 1n, to: 100n }).map(({ kind }) => kind)),
    new Set(['rows']),
  )
})

test('a payload of 16,384 bytes is packed, one more is not', () => {
  using packed = logOf([16_384])
  assert.deepEqual(
    check(packed, { from: 1n, to: 1n }).map(({ kind }) => kind),
    ['packed'],
  )
  using rows = logOf([16_385])
  assert.deepEqual(
    check(rows, { from: 1n, to: 1n }).map(({ kind }) => kind),
    ['rows'],
  )
})

test('after what could not be packed, packing is tried again', () => {
  using db = logOf([20_000, ...small(1500)])
  assert.equal(check(db, { from: 1n, to: LAST }).at(-1)?.kind, 'packed')
})

test('a page of rows is bounded in bytes, but holds one entry however large', () => {
  const mebibyte = 1024 * 1024
  using db = logOf([mebibyte, mebibyte, mebibyte, mebibyte, mebibyte, 6 * mebibyte, 1])
  const counts = check(db, { from: 1n, to: 7n }).map((page) =>
    page.kind === 'rows' ? page.rows.length : page.count,
  )
  assert.equal(
    counts.reduce((sum, n) => sum + n, 0),
    7,
  )
  assert.equal(rowPage(db, 's', 'w', { from: 1n, to: LAST }, 64).rows.length, 4)
  assert.equal(rowPage(db, 's', 'w', { from: 6n, to: LAST }, 64).rows.length, 1)
  assert.equal(rowPage(db, 's', 'w', { from: 9n, to: LAST }, 64).rows.length, 0)
})

test('a page of rows has 64 entries at most, or as many as asked for', () => {
  using db = logOf(small(100))
  assert.equal(rowPage(db, 's', 'w', { from: 1n, to: LAST }, 1_000).rows.length, 64)
  assert.equal(rowPage(db, 's', 'w', { from: 1n, to: LAST }, 5).rows.length, 5)
})

test('which entry of a page is the first of its log', () => {
  assert.equal(genesisIndex(1n, 1n), 0)
  assert.equal(genesisIndex(5n, 1n), Number.POSITIVE_INFINITY)
  assert.equal(genesisIndex(5n, -1n), 4)
  assert.equal(genesisIndex(1n, -1n), 0)
})

test('a lazily read entry gives the same bytes each time', () => {
  using db = logOf([5, 6])
  const [page] = pages(db, 's', 'w', { from: 1n, to: 2n })
  assert.ok(page)
  for (const entry of lazyEntriesOf('s', 'w', page)) {
    assert.equal(entry.payload, entry.payload)
    assert.equal(entry.contentHash, entry.contentHash)
    assert.deepEqual(entry.prevHash, entry.prevHash)
  }
})

test('no statement is open between pages: the log may grow while it is read', () => {
  using db = logOf(small(600))
  const seen: bigint[] = []
  for (const { seq } of WriterLog.read(db, 's', 'w')) {
    seen.push(seq)
    if (seq === 10n) WriterLog.append(db, 's', 'w', 'more')
  }
  assert.equal(seen.length, 601)
  db.exec('DROP TABLE _agent_store_log')
})
