/** What `WriterLog` and `Doorbell` promise on any backend. @module */
import assert from 'node:assert/strict'
import { chainHash, Doorbell, WriterLog } from '../index.ts'
import { type ConformanceCase, fill, onStore, onTwo, throwsCode, utf8 } from './case.ts'

const NAMES = ['', 'a', 'A', 'a ', 'ä', 'a\u0308', '🦎', '\uffee', "'; --", '%_', '\u007f\n\t']

/** Cases of `WriterLog`, and of a `Doorbell` that is tied to the backend. */
export const writerLogCases: readonly ConformanceCase[] = [
  onStore('chains entries from seq 1', (db) => {
    const first = WriterLog.append(db, 'conv:x', 'alice', 'hello')
    const second = WriterLog.append(db, 'conv:x', 'alice', utf8('world'))
    assert.equal(first.seq, 1n)
    assert.equal(first.prevHash, null)
    assert.deepEqual(first.contentHash, chainHash(null, utf8('hello')))
    assert.equal(second.seq, 2n)
    assert.deepEqual(second.prevHash, first.contentHash)
    assert.deepEqual(second.contentHash, chainHash(first.contentHash, utf8('world')))
    assert.deepEqual(WriterLog.entries(db, 'conv:x', 'alice'), [first, second])
    assert.deepEqual(WriterLog.head(db, 'conv:x', 'alice'), second)
    assert.deepEqual(WriterLog.verify(db, 'conv:x', 'alice')?.seq, 2n)
  }),
  onStore('knows the hash of the crate for its own example', (db) => {
    const { contentHash } = WriterLog.append(db, 'conv:demo', 'alice', 'hello world')
    assert.equal(
      Buffer.from(contentHash).toString('hex'),
      'd74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24',
    )
  }),
  onStore('finds nothing in a log that is empty', (db) => {
    assert.equal(WriterLog.head(db, 'none', 'nobody'), null)
    assert.equal(WriterLog.entry(db, 'none', 'nobody', 1n), null)
    assert.deepEqual(WriterLog.entries(db, 'none', 'nobody'), [])
    assert.equal(WriterLog.verify(db, 'none', 'nobody'), null)
    assert.deepEqual(WriterLog.verifyAll(db), { logs: 0, entries: 0n })
    assert.deepEqual(
      [WriterLog.streams(db), WriterLog.writers(db, 'x'), WriterLog.heads(db, 'x')],
      [[], [], []],
    )
  }),
  onStore('keeps any bytes', (db) => {
    const payloads = [
      new Uint8Array(0),
      new Uint8Array([0, 255, 128, 10]),
      utf8('\0'),
      new Uint8Array(70_000).fill(7),
    ]
    const entries = WriterLog.appendMany(db, 's', 'w', payloads)
    assert.deepEqual(
      entries.map((e) => e.payload),
      payloads,
    )
    assert.deepEqual(WriterLog.entries(db, 's', 'w'), entries)
    WriterLog.verify(db, 's', 'w')
  }),
  onStore('compares names byte by byte and lists them in binary order', (db) => {
    for (const stream of NAMES)
      for (const writer of NAMES) WriterLog.append(db, stream, writer, stream + writer)
    const sorted = NAMES.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(WriterLog.streams(db), sorted)
    assert.deepEqual(WriterLog.streams(db, { prefix: 'a' }), ['a', 'a ', 'a\u0308'])
    assert.deepEqual(WriterLog.streams(db, { prefix: '%' }), ['%_'])
    for (const stream of NAMES) {
      assert.deepEqual(WriterLog.writers(db, stream), sorted)
      const heads = WriterLog.heads(db, stream)
      assert.deepEqual(
        heads.map((h) => [h.stream, h.writer, h.seq]),
        sorted.map((w) => [stream, w, 1n]),
      )
    }
    assert.deepEqual(WriterLog.verifyAll(db), {
      logs: NAMES.length ** 2,
      entries: BigInt(NAMES.length ** 2),
    })
  }),
  onStore('reads past a seq, a page, from the end, one, and lazily', (db) => {
    const all = fill(db, 1_300, true)
    const at = (...seqs: number[]) => seqs.map((seq) => all[seq - 1])
    assert.deepEqual(WriterLog.entries(db, 's', 'w'), all)
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { after: 1_298n }), at(1299, 1300))
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { after: 510n, limit: 3 }), at(511, 512, 513))
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { reverse: true, limit: 2 }), at(1300, 1299))
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { reverse: true }), all.toReversed())
    assert.deepEqual(
      WriterLog.entries(db, 's', 'w', { reverse: true, after: 1_297n }),
      at(1300, 1299, 1298),
    )
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { limit: 0 }), [])
    assert.deepEqual(WriterLog.entries(db, 's', 'w', { after: 5_000n }), [])
    assert.deepEqual(WriterLog.entry(db, 's', 'w', 600n), all[599])
    const lazy = [...WriterLog.read(db, 's', 'w')].map(
      ({ stream, writer, seq, prevHash, contentHash, payload }) => ({
        stream,
        writer,
        seq,
        prevHash,
        contentHash,
        payload,
      }),
    )
    assert.deepEqual(lazy, all)
  }),
  onStore('goes on reading what is appended meanwhile, holding nothing', (db) => {
    fill(db, 600)
    let seen = 0
    for (const { seq } of WriterLog.read(db, 's', 'w')) {
      if (seq === 5n) WriterLog.append(db, 's', 'w', 'late')
      seen++
    }
    assert.equal(seen, 601)
  }),
  onStore('appends only behind the expected head', (db) => {
    const first = WriterLog.append(db, 's', 'w', 'one', { expectedHead: null })
    const second = WriterLog.append(db, 's', 'w', 'two', { expectedHead: first })
    throwsCode('STORE_CONFLICT', () => WriterLog.append(db, 's', 'w', 'x', { expectedHead: first }))
    throwsCode('STORE_CONFLICT', () => WriterLog.append(db, 's', 'w', 'x', { expectedHead: null }))
    const { seq } = second
    throwsCode('STORE_CONFLICT', () =>
      WriterLog.append(db, 's', 'w', 'x', {
        expectedHead: { seq, contentHash: first.contentHash },
      }),
    )
    throwsCode('STORE_CONFLICT', () =>
      WriterLog.appendMany(db, 's', 'w', ['x'], { expectedHead: first }),
    )
    assert.deepEqual(WriterLog.entries(db, 's', 'w'), [first, second])
  }),
  onStore('appends many entries or none', (db) => {
    const entries = WriterLog.appendMany(db, 's', 'w', ['a', 'b', 'c'])
    assert.deepEqual(
      entries.map((e) => e.seq),
      [1n, 2n, 3n],
    )
    assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['d', '\ud800']), TypeError)
    assert.deepEqual(WriterLog.appendMany(db, 's', 'w', []), [])
    assert.deepEqual(WriterLog.entries(db, 's', 'w'), entries)
  }),
  onStore('goes on rightly after a rollback', (db) => {
    const first = WriterLog.append(db, 's', 'w', 'one')
    assert.throws(() =>
      db.transaction(() => {
        WriterLog.append(db, 's', 'w', 'undone')
        WriterLog.append(db, 's', 'w', 'undone as well')
        throw new Error('no')
      }),
    )
    const second = WriterLog.append(db, 's', 'w', 'two')
    assert.equal(second.seq, 2n)
    assert.deepEqual(second.prevHash, first.contentHash)
    WriterLog.verify(db, 's', 'w')
  }),
  onStore('refuses names and payloads that cannot be stored', (db) => {
    const wrong: unknown[] = [undefined, null, 7, new ArrayBuffer(3), new Uint16Array(2), ['a']]
    for (const value of wrong) {
      assert.throws(() => WriterLog.append(db, 's', 'w', value as string), TypeError)
      assert.throws(() => WriterLog.append(db, value as string, 'w', ''), TypeError)
    }
    for (const text of ['\ud800', 'nul\0']) {
      assert.throws(() => WriterLog.append(db, text, 'w', ''), TypeError)
      assert.throws(() => WriterLog.append(db, 's', text, ''), TypeError)
    }
    assert.throws(() => WriterLog.append(db, 's', 'w', '\udfff'), TypeError)
    assert.throws(() => WriterLog.entry(db, 's', 'w', 0n), RangeError)
    assert.throws(() => WriterLog.entries(db, 's', 'w', { after: -1n }), RangeError)
    assert.throws(() => WriterLog.entries(db, 's', 'w', { limit: 1.5 }), RangeError)
    assert.deepEqual(WriterLog.streams(db), [])
  }),
  onStore('takes a copy of the payload', (db) => {
    const buffer = utf8('before')
    const entry = WriterLog.append(db, 's', 'w', buffer)
    buffer.fill(0)
    assert.deepEqual(entry.payload, utf8('before'))
    entry.contentHash.fill(0)
    WriterLog.append(db, 's', 'w', 'next')
    WriterLog.verify(db, 's', 'w')
  }),
  onStore('rings a tied bell after the outermost commit, never after a rollback', (db) => {
    const bell = new Doorbell()
    const untie = bell.tie(db)
    const rung: string[] = []
    bell.subscribe((e) => rung.push(`${e.writer}${e.seq}${db.inTransaction ? ' too early' : ''}`))
    WriterLog.append(db, 's', 'a', '')
    db.transaction(() => {
      WriterLog.append(db, 's', 'b', '')
      assert.throws(() =>
        db.transaction(() => {
          WriterLog.append(db, 's', 'c', '')
          throw new Error('inner')
        }),
      )
      WriterLog.appendMany(db, 's', 'd', ['', ''])
      assert.deepEqual(rung, ['a1'])
    })
    untie()
    WriterLog.append(db, 's', 'e', '')
    assert.deepEqual(rung, ['a1', 'b1', 'd1', 'd2'])
  }),
  onTwo('lets two connections append as the same writer', (a, b) => {
    const entries = [a, b, b, a, b, a, a].map((db, i) => WriterLog.append(db, 's', 'w', String(i)))
    assert.deepEqual(
      entries.map((e) => e.seq),
      [1n, 2n, 3n, 4n, 5n, 6n, 7n],
    )
    assert.deepEqual(WriterLog.entries(a, 's', 'w'), entries)
    assert.equal(WriterLog.verify(b, 's', 'w')?.seq, 7n)
  }),
]
