/** What `WriterLog` and `Doorbell` promise on any backend. @module */
import assert from 'node:assert/strict'
import { type Backend, chainHash, Doorbell, type Entry, type Value, WriterLog } from '../index.ts'
import { type ConformanceCase, onStore, onTwo, throwsCode, utf8 } from './case.ts'

const NAMES = ['', 'a', 'A', 'a ', 'ä', 'a\u0308', '🦎', '\uffee', "'; --", '%_', '\u007f\n\t']

/** Fill one log with `count` payloads of many lengths, page borders included. */
function fill(db: Backend, count: number, large = false): Entry[] {
  return WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: count }, (_, i) =>
      utf8('x'.repeat(large && i % 97 === 5 ? 40_000 : i % 70)),
    ),
  )
}

/** Change stored rows behind the chain's back. */
function forge(db: Backend, column: string, value: Value, seq: bigint): void {
  db.exec(`UPDATE _agent_store_log SET ${column} = ? WHERE seq = ?`, [value, seq])
}

const zeros = (length: number) => new Uint8Array(length)

function breaksAt(db: Backend, seq: bigint): void {
  for (const check of [
    () => WriterLog.verify(db, 's', 'w'),
    () => WriterLog.verifyAll(db),
    () => WriterLog.verifiedEntries(db, 's', 'w'),
  ]) {
    assert.throws(check, (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error && 'seq' in error)
      assert.equal(error.code, 'STORE_CHAIN_BROKEN')
      assert.equal(error.seq, seq, error.message)
      return true
    })
  }
}

function refusesAs(what: string, column: string, value: Value): ConformanceCase {
  return onStore(`refuses ${what} as a malformed row`, (db) => {
    fill(db, 30)
    forge(db, column, value, 20n)
    throwsCode('STORE_MALFORMED_ROW', () => WriterLog.verify(db, 's', 'w'))
    throwsCode('STORE_MALFORMED_ROW', () => WriterLog.entries(db, 's', 'w'))
    throwsCode('STORE_MALFORMED_ROW', () => [...WriterLog.read(db, 's', 'w')])
    throwsCode('STORE_MALFORMED_ROW', () => WriterLog.entry(db, 's', 'w', 20n))
    assert.equal(WriterLog.entries(db, 's', 'w', { limit: 19 }).length, 19)
  })
}

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
  ...[1n, 2n, 300n, 512n, 513n, 514n, 700n].map((seq) =>
    onStore(`names an edit at seq ${seq} of 700`, (db) => {
      fill(db, 700, true)
      forge(db, 'payload', utf8('edited'), seq)
      breaksAt(db, seq)
    }),
  ),
  ...[1n, 2n, 513n, 699n].map((seq) =>
    onStore(`names a deleted entry at seq ${seq} of 700`, (db) => {
      fill(db, 700)
      db.exec('DELETE FROM _agent_store_log WHERE seq = ?', [seq])
      breaksAt(db, seq)
    }),
  ),
  onStore('names the first of many missing entries', (db) => {
    fill(db, 2_000)
    db.exec('DELETE FROM _agent_store_log WHERE seq > 100 AND seq < 1900')
    breaksAt(db, 101n)
  }),
  onStore('names a broken link and a changed hash', (db) => {
    fill(db, 40)
    forge(db, 'prev_hash', zeros(32), 20n)
    breaksAt(db, 20n)
  }),
  onStore('names two entries that changed places', (db) => {
    fill(db, 40)
    for (const [from, to] of [
      [10n, 99n],
      [11n, 10n],
      [99n, 11n],
    ] as const) {
      db.exec('UPDATE _agent_store_log SET seq = ? WHERE seq = ?', [to, from])
    }
    breaksAt(db, 10n)
  }),
  ...[
    refusesAs('a short prev_hash', 'prev_hash', zeros(31)),
    refusesAs('a long content_hash', 'content_hash', zeros(33)),
    ...[
      refusesAs('a content_hash that is text', 'content_hash', 'text'),
      refusesAs('a payload that is text', 'payload', 'text'),
      refusesAs('a payload that is a number', 'payload', 5n),
    ].map((untyped) => ({ ...untyped, needs: ['untyped-columns'] as const })),
  ],
  onStore('reports the first fault in order', (db) => {
    fill(db, 30)
    forge(db, 'content_hash', zeros(33), 20n)
    forge(db, 'payload', zeros(3), 10n)
    breaksAt(db, 10n)
  }),
  onStore('goes on from a head that was verified before', (db) => {
    fill(db, 600)
    const head = WriterLog.verify(db, 's', 'w')
    WriterLog.appendMany(db, 's', 'w', ['a', 'b'])
    let checked = 0
    const next = WriterLog.verify(db, 's', 'w', { from: head, onProgress: (n) => (checked += n) })
    assert.equal(next?.seq, 602n)
    assert.equal(checked, 2)
    assert.deepEqual(WriterLog.verifiedEntries(db, 's', 'w', { from: head }).length, 2)
  }),
  onStore('shows a cut tail to who has pinned the head', (db) => {
    fill(db, 600)
    const head = WriterLog.verify(db, 's', 'w')
    db.exec('DELETE FROM _agent_store_log WHERE seq > 590')
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 590n, 'the chain alone cannot show it')
    throwsCode('STORE_CHAIN_BROKEN', () => WriterLog.verify(db, 's', 'w', { from: head }))
  }),
  onStore('shows an edit of the pinned entry itself', (db) => {
    fill(db, 30)
    const head = WriterLog.verify(db, 's', 'w')
    forge(db, 'payload', zeros(1), 30n)
    throwsCode('STORE_CHAIN_BROKEN', () => WriterLog.verify(db, 's', 'w', { from: head }))
  }),
  {
    ...onStore('refuses names that are stored as something else than text', (db) => {
      fill(db, 3)
      const hash = chainHash(null, utf8('x'))
      const row = [utf8('hidden'), 'w', 1n, null, hash, utf8('x')]
      db.exec('INSERT INTO _agent_store_log VALUES (?, ?, ?, ?, ?, ?)', row)
      throwsCode('STORE_MALFORMED_ROW', () => WriterLog.verifyAll(db))
      throwsCode('STORE_MALFORMED_ROW', () => WriterLog.streams(db))
    }),
    needs: ['untyped-columns'],
  },
  onStore('reports progress that adds up', (db) => {
    fill(db, 1_100, true)
    let seen = 0
    WriterLog.verifyAll(db, { onProgress: (entries) => (seen += entries) })
    assert.equal(seen, 1_100)
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
  onTwo('verifies and reads in one snapshot', (a, b) => {
    fill(a, 20)
    a.snapshot(() => {
      const before = WriterLog.verifiedEntries(a, 's', 'w')
      forge(b, 'payload', zeros(1), 3n)
      assert.deepEqual(WriterLog.verifiedEntries(a, 's', 'w'), before)
    })
    breaksAt(a, 3n)
  }),
]
