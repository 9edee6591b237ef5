/**
 * Verification: sound logs pass, whatever their shape; any tampering that an unkeyed chain
 * can show is named by the first seq at which it shows.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  ChainBrokenError,
  chainHash,
  type Head,
  MalformedRowError,
  SqliteBackend,
  type Value,
  WriterLog,
} from 'agent-store'
import { defined, insertRaw, noise, plain, utf8 } from '../support.ts'

/** A log of `count` entries, "1", "2", …, as `s`, `w`. */
function logOf(count: number, encoding = 'UTF-8'): SqliteBackend {
  const db = SqliteBackend.inMemory()
  db.exec(`PRAGMA encoding = '${encoding}'`)
  WriterLog.ensureSchema(db)
  const payloads = Array.from({ length: count }, (_, i) => `${i + 1}`)
  WriterLog.appendMany(db, 's', 'w', payloads)
  return db
}

const verify = (db: SqliteBackend, from?: Head | null) =>
  WriterLog.verify(db, 's', 'w', from === undefined ? {} : { from })

function breaksAt(db: SqliteBackend, seq: bigint, detail: RegExp, from?: Head): void {
  const broken = (error: unknown) => {
    assert.ok(error instanceof ChainBrokenError, String(error))
    assert.deepEqual([error.stream, error.writer, error.seq], ['s', 'w', seq])
    assert.match(error.detail, detail)
    return true
  }
  assert.throws(() => verify(db, from), broken)
  const options = from === undefined ? {} : { from }
  assert.throws(() => WriterLog.verifiedEntries(db, 's', 'w', options), broken)
  assert.equal(db.inTransaction, false)
}

const set = (db: SqliteBackend, column: string, seq: number, value: Value) =>
  db.exec(`UPDATE _agent_store_log SET ${column} = ? WHERE seq = ?`, [value, BigInt(seq)])
const remove = (db: SqliteBackend, from: number, to: number = from) =>
  db.exec('DELETE FROM _agent_store_log WHERE seq BETWEEN ? AND ?', [BigInt(from), BigInt(to)])
const at = (db: SqliteBackend, seq: number) => defined(WriterLog.entry(db, 's', 'w', BigInt(seq)))

// Page borders are at 512; the row reader's at 64.
const LENGTHS = [1, 2, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025]

test('an empty log verifies to null', () => {
  using db = logOf(0)
  assert.equal(verify(db), null)
  assert.deepEqual(WriterLog.verifiedEntries(db, 's', 'w'), [])
  assert.deepEqual(WriterLog.verifyAll(db), { logs: 0, entries: 0n })
})

for (const encoding of ['UTF-8', 'UTF-16']) {
  test(`${encoding}: sound logs of every length verify to their head`, () => {
    for (const length of LENGTHS) {
      using db = logOf(length, encoding)
      const head = defined(WriterLog.head(db, 's', 'w'))
      assert.deepEqual(verify(db), { seq: BigInt(length), contentHash: head.contentHash })
      assert.equal(head.seq, BigInt(length))
    }
  })

  test(`${encoding}: an edited payload is found at whatever place`, () => {
    using db = logOf(1025, encoding)
    for (const seq of [1, 2, 64, 65, 511, 512, 513, 514, 1024, 1025]) {
      const { payload } = at(db, seq)
      set(db, 'payload', seq, utf8('forged'))
      breaksAt(db, BigInt(seq), /content_hash does not match the payload/)
      set(db, 'payload', seq, payload)
    }
    assert.equal(verify(db)?.seq, 1025n)
  })

  test(`${encoding}: a deleted entry is found at whatever place`, () => {
    for (const seq of [1, 2, 63, 511, 512, 513, 1024]) {
      using db = logOf(1025, encoding)
      remove(db, seq)
      breaksAt(db, BigInt(seq), /missing/)
    }
  })

  test(`${encoding}: a deleted stretch is found at its first seq`, () => {
    for (const [from, to] of [
      [300, 899],
      [1, 600],
      [513, 1024],
      [2, 1024],
    ] as const) {
      using db = logOf(1025, encoding)
      remove(db, from, to)
      breaksAt(db, BigInt(from), /missing/)
    }
  })

  test(`${encoding}: payloads small, large and on the border of packing, mixed`, () => {
    using db = SqliteBackend.inMemory()
    db.exec(`PRAGMA encoding = '${encoding}'`)
    WriterLog.ensureSchema(db)
    const sizes = [0, 1, 16_383, 16_384, 16_385, 0, 70_000, 5, 5, 16_385, 1]
    const payloads = Array.from({ length: 600 }, (_, i) => noise(sizes[i % 11] ?? 0, i + 1))
    WriterLog.appendMany(db, 's', 'w', payloads)
    assert.equal(verify(db)?.seq, 600n)
    for (const seq of [3, 4, 5, 7, 8, 511, 512, 513, 600]) {
      const { payload } = at(db, seq)
      const forged = new Uint8Array(payload.length + 1)
      forged.set(payload)
      set(db, 'payload', seq, forged)
      breaksAt(db, BigInt(seq), /edited/)
      set(db, 'payload', seq, payload)
    }
  })
}

test('payloads of every byte value, and such as look like text, are only bytes', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const payloads = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    Uint8Array.of(0, 0, 0),
    utf8('🦀'),
    Uint8Array.of(0xef, 0xbb, 0xbf),
    Uint8Array.of(0xff, 0xfe),
  ]
  WriterLog.appendMany(db, 's', 'w', payloads)
  assert.equal(verify(db)?.seq, BigInt(payloads.length))
  assert.deepEqual(
    WriterLog.verifiedEntries(db, 's', 'w').map(({ payload }) => payload),
    payloads,
  )
})

test('an edited hash is found where it is, or where it no longer links', () => {
  using db = logOf(600)
  const { contentHash } = at(db, 300)
  set(db, 'content_hash', 300, noise(32, 1))
  breaksAt(db, 300n, /content_hash does not match/)
  set(db, 'content_hash', 300, contentHash)
  set(db, 'prev_hash', 300, noise(32, 1))
  breaksAt(db, 300n, /prev_hash does not link/)
})

test('an edit with its own hash recomputed is found at the next entry', () => {
  using db = logOf(600)
  for (const seq of [1, 300, 512]) {
    const { prevHash, payload, contentHash } = at(db, seq)
    set(db, 'payload', seq, utf8('forged'))
    set(db, 'content_hash', seq, chainHash(prevHash, utf8('forged')))
    breaksAt(db, BigInt(seq + 1), /prev_hash does not link/)
    set(db, 'payload', seq, payload)
    set(db, 'content_hash', seq, contentHash)
  }
})

test('two entries in exchanged places are found at the first of them', () => {
  for (const [a, b] of [
    [2, 3],
    [100, 400],
    [512, 513],
  ] as const) {
    using db = logOf(600)
    set(db, 'seq', a, 9_999n)
    set(db, 'seq', b, BigInt(a))
    set(db, 'seq', 9_999, BigInt(b))
    breaksAt(db, BigInt(a), /prev_hash does not link/)
  }
})

test('an entry from another log does not link', () => {
  using db = logOf(5)
  WriterLog.appendMany(db, 's', 'other', ['a', 'b', 'c'])
  const foreign = defined(WriterLog.entry(db, 's', 'other', 3n))
  remove(db, 5)
  insertRaw(db, ['s', 'w', 5n, foreign.prevHash, foreign.contentHash, foreign.payload])
  breaksAt(db, 5n, /prev_hash does not link/)
})

test('a log that starts past 1, or whose first entry has a previous hash, is broken', () => {
  using late = SqliteBackend.inMemory()
  WriterLog.ensureSchema(late)
  insertRaw(late, ['s', 'w', 2n, noise(32, 1), chainHash(noise(32, 1), utf8('x')), utf8('x')])
  breaksAt(late, 1n, /missing/)
  using db = logOf(2)
  set(db, 'prev_hash', 1, noise(32, 1))
  breaksAt(db, 1n, /prev_hash does not link/)
})

test('a later entry without a previous hash is broken', () => {
  using db = logOf(600)
  const { payload } = at(db, 300)
  set(db, 'prev_hash', 300, null)
  set(db, 'content_hash', 300, chainHash(null, payload))
  breaksAt(db, 300n, /prev_hash does not link/)
})

test('an entry at the largest seq, far behind a gap, is found quickly', () => {
  using db = logOf(3)
  insertRaw(db, ['s', 'w', 2n ** 63n - 1n, noise(32, 1), noise(32, 2), utf8('x')])
  breaksAt(db, 4n, /missing/)
})

test('the first of several faults is the one that is named', () => {
  using db = logOf(1025)
  remove(db, 900)
  set(db, 'payload', 700, utf8('forged'))
  set(db, 'prev_hash', 400, noise(32, 1))
  breaksAt(db, 400n, /prev_hash/)
})

const BLOB31 = new Uint8Array(31)
const BLOB33 = new Uint8Array(33)
const MALFORMED: readonly (readonly [string, Value, RegExp])[] = [
  ['prev_hash', BLOB31, /prev_hash must be NULL or 32 bytes, found 31 bytes/],
  ['prev_hash', BLOB33, /prev_hash must be NULL or 32 bytes, found 33 bytes/],
  ['prev_hash', new Uint8Array(0), /prev_hash must be/],
  ['prev_hash', 'x'.repeat(32), /prev_hash must be/],
  ['prev_hash', 5n, /prev_hash must be/],
  ['prev_hash', 0.5, /prev_hash must be/],
  ['content_hash', BLOB31, /content_hash must be 32 bytes/],
  ['content_hash', BLOB33, /content_hash must be 32 bytes/],
  ['content_hash', 'x'.repeat(32), /content_hash must be 32 bytes/],
  ['content_hash', 5n, /content_hash must be/],
  ['payload', 'text', /payload must be a blob/],
  ['payload', '', /payload must be a blob/],
  ['payload', 5n, /payload must be a blob/],
  ['payload', 0.5, /payload must be a blob/],
]
for (const [column, value, message] of MALFORMED) {
  test(`${column} holding ${value instanceof Uint8Array ? `${value.length} bytes` : JSON.stringify(String(value))} is a malformed row, wherever it is`, () => {
    using db = logOf(600)
    for (const seq of [1, 2, 300, 512, 513, 600]) {
      const { prevHash, contentHash, payload } = at(db, seq)
      set(db, column, seq, value)
      const malformed = (error: unknown) => {
        assert.ok(error instanceof MalformedRowError, String(error))
        assert.match(error.message, message)
        assert.match(error.message, new RegExp(`seq ${seq}:`))
        return true
      }
      assert.throws(() => verify(db), malformed)
      assert.throws(() => WriterLog.entries(db, 's', 'w'), malformed)
      assert.throws(() => WriterLog.entries(db, 's', 'w', { reverse: true }), malformed)
      assert.throws(() => [...WriterLog.read(db, 's', 'w')], malformed)
      assert.throws(() => WriterLog.entry(db, 's', 'w', BigInt(seq)), malformed)
      set(db, 'prev_hash', seq, prevHash)
      set(db, 'content_hash', seq, contentHash)
      set(db, 'payload', seq, payload)
    }
    assert.equal(verify(db)?.seq, 600n)
  })
}

for (const [name, seq] of [
  ['a fraction', 300.5],
  ['text', 'three'],
  ['a blob', Uint8Array.of(3)],
  ['zero', 0n],
  ['a negative', -5n],
] as const) {
  test(`a seq that is ${name} is a malformed row, replaced or added`, () => {
    using replaced = logOf(600)
    set(replaced, 'seq', 300, seq)
    using added = logOf(600)
    insertRaw(added, ['s', 'w', seq, null, chainHash(null, utf8('x')), utf8('x')])
    for (const db of [added, replaced]) {
      for (const read of [() => verify(db), () => WriterLog.entries(db, 's', 'w')]) {
        assert.throws(read, (error) => {
          // Below the first entry, a gap in what follows may be seen first.
          const found = error instanceof MalformedRowError || error instanceof ChainBrokenError
          assert.ok(found, String(error))
          return true
        })
      }
    }
    assert.throws(() => verify(added), MalformedRowError)
    assert.throws(() => WriterLog.entries(added, 's', 'w', { reverse: true }), MalformedRowError)
  })
}

test('a verified head can be pinned, and verification resumed from it', () => {
  using db = logOf(1025)
  for (const seq of [1, 64, 511, 512, 513, 1024, 1025]) {
    const { contentHash } = at(db, seq)
    const checked: number[] = []
    const from = { seq: BigInt(seq), contentHash }
    const head = WriterLog.verify(db, 's', 'w', { from, onProgress: (n) => checked.push(n) })
    assert.equal(head?.seq, 1025n)
    assert.equal(
      checked.reduce((sum, n) => sum + n, 0),
      1025 - seq,
    )
    assert.deepEqual(
      WriterLog.verifiedEntries(db, 's', 'w', { from }).map((entry) => entry.seq),
      Array.from({ length: 1025 - seq }, (_, i) => BigInt(seq + 1 + i)),
    )
  }
})

test('an entry will do as a pinned head, and null is the start', () => {
  using db = logOf(10)
  assert.equal(verify(db, at(db, 5))?.seq, 10n)
  assert.equal(verify(db, null)?.seq, 10n)
})

test('what lies before a pinned head is not looked at again; what lies behind it is', () => {
  using db = logOf(600)
  const from = at(db, 100)
  set(db, 'payload', 50, utf8('forged'))
  assert.equal(verify(db, from)?.seq, 600n)
  breaksAt(db, 50n, /edited/)
  set(db, 'payload', 101, utf8('forged'))
  breaksAt(db, 101n, /edited/, from)
})

test('a pinned head shows a cut tail, which an unkeyed chain alone cannot', () => {
  using db = logOf(600)
  const pinned = defined(verify(db))
  remove(db, 590, 600)
  assert.equal(verify(db)?.seq, 589n)
  breaksAt(db, 600n, /verified before is missing/, pinned)
  remove(db, 1, 600)
  assert.equal(verify(db), null)
  breaksAt(db, 600n, /verified before is missing/, pinned)
})

test('a pinned head shows a log that was rewritten as a whole', () => {
  using db = logOf(20)
  const pinned = defined(verify(db))
  remove(db, 1, 20)
  let prevHash: Uint8Array | null = null
  for (let seq = 1n; seq <= 25n; seq++) {
    const contentHash = chainHash(prevHash, utf8('forged'))
    insertRaw(db, ['s', 'w', seq, prevHash, contentHash, utf8('forged')])
    prevHash = contentHash
  }
  assert.equal(verify(db)?.seq, 25n)
  breaksAt(db, 20n, /not the one that was verified before/, pinned)
})

test('a gap right behind a pinned head is found', () => {
  using db = logOf(600)
  const from = at(db, 100)
  remove(db, 101)
  breaksAt(db, 101n, /missing/, from)
})

test('what is no head is refused before anything is read', () => {
  using db = logOf(1)
  assert.throws(() => verify(db, {} as never), /from\.seq must be a bigint/)
  assert.throws(() => verify(db, { seq: 1n, contentHash: BLOB31 }), RangeError)
  assert.throws(() => verify(db, 5 as never), TypeError)
})

test('progress adds up to the number of entries', () => {
  for (const length of LENGTHS) {
    using db = logOf(length)
    let sum = 0
    WriterLog.verify(db, 's', 'w', { onProgress: (n) => (sum += n) })
    assert.equal(sum, length)
  }
})

test('verified entries are all the entries, as they are read', () => {
  using db = logOf(600)
  assert.deepEqual(
    WriterLog.verifiedEntries(db, 's', 'w').map(plain),
    WriterLog.entries(db, 's', 'w').map(plain),
  )
})

test('of several logs, the broken one is named, and the sound ones still verify', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  for (const writer of ['a', 'b', 'c']) WriterLog.appendMany(db, 's', writer, ['1', '2', '3'])
  WriterLog.append(db, 't', 'a', '1')
  assert.deepEqual(WriterLog.verifyAll(db), { logs: 4, entries: 10n })
  assert.deepEqual(WriterLog.verifyStream(db, 's'), WriterLog.heads(db, 's'))
  db.exec("UPDATE _agent_store_log SET payload = x'00' WHERE writer = 'b' AND seq = 2")
  for (const run of [() => WriterLog.verifyAll(db), () => WriterLog.verifyStream(db, 's')]) {
    assert.throws(run, (error) => {
      assert.ok(error instanceof ChainBrokenError)
      assert.deepEqual([error.stream, error.writer, error.seq], ['s', 'b', 2n])
      return true
    })
  }
  assert.equal(WriterLog.verify(db, 's', 'a')?.seq, 3n)
  assert.equal(WriterLog.verify(db, 's', 'c')?.seq, 3n)
  assert.equal(WriterLog.verifyStream(db, 't').length, 1)
})

test("the head that comes back is the caller's own", () => {
  using db = logOf(5)
  const head = defined(verify(db))
  head.contentHash.fill(0)
  assert.notDeepEqual(defined(verify(db)).contentHash, head.contentHash)
  assert.equal(WriterLog.append(db, 's', 'w', 'next').seq, 6n)
  assert.equal(verify(db)?.seq, 6n)
})
