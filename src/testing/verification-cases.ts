/** What verification finds on any backend: every edit, gap and malformed row, the first one first. @module */
import assert from 'node:assert/strict'
import { type Backend, chainHash, type Value, WriterLog } from '../index.ts'
import { type ConformanceCase, fill, onStore, onTwo, throwsCode, utf8 } from './case.ts'

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

/** Cases of the verification of a log. */
export const verificationCases: readonly ConformanceCase[] = [
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
  onStore('shows a cut tail to a reader that has pinned the head', (db) => {
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
