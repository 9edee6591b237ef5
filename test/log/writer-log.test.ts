/**
 * The log: appended without gap or fork by whoever shares it, and read back as it was.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type TestContext } from 'node:test'
import {
  ConflictError,
  chainHash,
  type Entry,
  LogRegressedError,
  MalformedRowError,
  SqliteBackend,
  WriterLog,
} from 'agent-store'
import { defined, insertRaw, noise, plain, temporaryFolder, utf8 } from '../support.ts'

const MAX = 2n ** 63n - 1n

function opened(): SqliteBackend {
  const db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  return db
}

const append = (db: SqliteBackend, payload: string | Uint8Array) =>
  WriterLog.append(db, 's', 'w', payload)
const count = (db: SqliteBackend) => db.query('SELECT count(*) FROM _agent_store_log')[0]?.[0]

test('the first entry has seq 1 and no previous hash; each later one links to the one before', () => {
  using db = opened()
  const one = append(db, 'one')
  assert.deepEqual(one, {
    stream: 's',
    writer: 'w',
    seq: 1n,
    prevHash: null,
    contentHash: chainHash(null, utf8('one')),
    payload: utf8('one'),
  })
  const two = append(db, 'two')
  assert.equal(two.seq, 2n)
  assert.deepEqual(two.prevHash, one.contentHash)
  assert.deepEqual(two.contentHash, chainHash(one.contentHash, utf8('two')))
  assert.deepEqual(WriterLog.entries(db, 's', 'w').map(plain), [one, two])
})

test('each writer of each stream has a log of its own', () => {
  using db = opened()
  const seqs = [
    ['a', 'x'],
    ['a', 'y'],
    ['b', 'x'],
    ['a', 'x'],
    ['ax', ''],
    ['', 'ax'],
  ].map(([stream = '', writer = '']) => WriterLog.append(db, stream, writer, 'p').seq)
  assert.deepEqual(seqs, [1n, 1n, 1n, 2n, 1n, 1n])
})

test('payloads: text as UTF-8, bytes of any kind, empty too', () => {
  using db = opened()
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(7)
  const payloads: readonly (readonly [string | Uint8Array, Uint8Array])[] = [
    ['', new Uint8Array(0)],
    [new Uint8Array(0), new Uint8Array(0)],
    ['Zürich 🦀', utf8('Zürich 🦀')],
    ['a\0b', Uint8Array.of(97, 0, 98)],
    ['\ufeff\ufffd', utf8('\ufeff\ufffd')],
    [Buffer.from('buffer'), utf8('buffer')],
    [Uint8Array.of(9, 1, 2, 9).subarray(1, 3), Uint8Array.of(1, 2)],
    [shared, Uint8Array.of(7, 7, 7, 7)],
    [noise(3_000_000, 1), noise(3_000_000, 1)],
  ]
  payloads.forEach(([payload, bytes], i) => {
    const entry = append(db, payload)
    assert.deepEqual(entry.payload, bytes, `payload ${i}`)
    const stored = defined(WriterLog.entry(db, 's', 'w', BigInt(i + 1)))
    assert.deepEqual(stored, entry, `stored ${i}`)
  })
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, BigInt(payloads.length))
})

test('the caller may go on using its buffer, and what it was given', () => {
  using db = opened()
  const buffer = utf8('mine')
  const entry = append(db, buffer)
  buffer.fill(0)
  assert.deepEqual(entry.payload, utf8('mine'))
  entry.contentHash.fill(0)
  entry.payload.fill(0)
  assert.equal(append(db, 'next').seq, 2n)
  const [first] = WriterLog.appendMany(db, 's', 'w', ['a'])
  first?.contentHash.fill(0)
  append(db, 'after')
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 4n)
})

test('an array whose buffer is gone is not taken for an empty one', () => {
  using db = opened()
  const transferred = new Uint8Array(8)
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] })
  const shrunk = new Uint8Array(new ArrayBuffer(16, { maxByteLength: 32 }), 8, 8)
  if (shrunk.buffer instanceof ArrayBuffer) shrunk.buffer.resize(4)
  for (const payload of [transferred, shrunk]) {
    const refused = { name: 'TypeError', message: /transferred or shrunk/ }
    assert.throws(() => WriterLog.append(db, 's', 'w', payload), refused)
    assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['a', payload]), /payloads\[1\]/)
  }
  assert.equal(WriterLog.head(db, 's', 'w'), null)
  assert.equal(WriterLog.append(db, 's', 'w', new Uint8Array(0)).payload.length, 0)
})

test('what cannot be stored is refused before anything is sent, and named', () => {
  using db = opened()
  const wrong: readonly (readonly [() => unknown, RegExp])[] = [
    [() => WriterLog.append(db, 5 as never, 'w', ''), /stream must be a string, got number: 5/],
    [() => WriterLog.append(db, 's', null as never, ''), /writer must be a string, got null/],
    [() => WriterLog.append(db, 'a\0', 'w', ''), /stream holds a NUL/],
    [() => WriterLog.append(db, 's', '\ud83e', ''), /writer holds a lone surrogate/],
    [() => append(db, 'a\udd80'), /payload holds a lone surrogate/],
    [() => append(db, 5 as never), /payload .*must be a Uint8Array, got number: 5/],
    [() => append(db, undefined as never), /payload .*got undefined/],
    [() => append(db, new ArrayBuffer(2) as never), /payload .*got object/],
    [() => append(db, [1, 2] as never), /payload .*got object/],
    [() => append(db, new Uint16Array(2) as never), /payload .*got object/],
    [() => WriterLog.appendMany(db, 's', 'w', ['a', 5 as never]), /payloads\[1\]/],
    [() => WriterLog.appendMany(db, 's', 'w', 5 as never), /./],
    [() => WriterLog.head(db, 's', 5 as never), /writer must be a string/],
    [() => WriterLog.entry(db, 's', 'w', 1 as never), /seq must be a bigint/],
    [() => WriterLog.entry(db, 's', 'w', 0n), /seq must be from 1/],
    [() => WriterLog.entries(db, 's', 'w', { after: -1n }), /after must be from 0/],
    [() => WriterLog.entries(db, 's', 'w', { after: 1 as never }), /after must be a bigint/],
    [() => WriterLog.entries(db, 's', 'w', { limit: -1 }), /limit must be a whole number/],
    [() => WriterLog.entries(db, 's', 'w', { limit: 1.5 }), /limit must be a whole number/],
    [() => WriterLog.read(db, 's', 'w', { limit: 1n as never }), /limit must be a number/],
    [() => WriterLog.writers(db, '\0'), /stream holds a NUL/],
    [() => WriterLog.heads(db, '\ud800'), /stream holds a lone surrogate/],
    [() => WriterLog.streams(db, { prefix: 5 as never }), /prefix must be a string/],
    [
      () => WriterLog.append(db, 's', 'w', '', { expectedHead: 5 as never }),
      /expectedHead must be/,
    ],
    [
      () => WriterLog.append(db, 's', 'w', '', { expectedHead: { seq: 1n } as never }),
      /contentHash/,
    ],
  ]
  for (const [call, message] of wrong) {
    assert.throws(call, (error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError, String(error))
      assert.match(error.message, message)
      return true
    })
  }
  assert.equal(count(db), 0n)
})

test('names are compared byte by byte: case, blanks and normal forms all matter', () => {
  using db = opened()
  const names = [
    '',
    ' ',
    'a',
    'A',
    'a ',
    'é',
    'e\u0301',
    '🦀',
    "'; --",
    '%',
    '_',
    '\u{10ffff}',
    '\uffff',
  ]
  for (const name of names) {
    assert.equal(WriterLog.append(db, name, 'w', name).seq, 1n)
    assert.equal(WriterLog.append(db, 's', name, name).seq, 1n)
  }
  const sorted = (all: string[]) =>
    all.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  assert.deepEqual(WriterLog.writers(db, 's'), sorted([...names]))
  assert.deepEqual(WriterLog.streams(db), sorted([...names, 's']))
  assert.deepEqual(WriterLog.verifyAll(db), {
    logs: 2 * names.length,
    entries: BigInt(2 * names.length),
  })
})

test('streams by prefix, multi-byte ones and the empty name too', () => {
  using db = opened()
  const names = [
    '',
    'a',
    'ab',
    'abc',
    'b',
    'é',
    'éa',
    'ê',
    '🦀',
    '🦀🦀',
    '🦁',
    '\u{10ffff}',
    '\u{10ffff}a',
  ]
  for (const name of names) WriterLog.append(db, name, 'w', 'x')
  for (const prefix of [...names, 'abcd', 'c', '\u00c3']) {
    assert.deepEqual(
      WriterLog.streams(db, { prefix }),
      names
        .filter((name) => name.startsWith(prefix))
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      JSON.stringify(prefix),
    )
  }
})

test('an empty store has no streams, writers, heads or entries', () => {
  using db = opened()
  assert.deepEqual(WriterLog.streams(db), [])
  assert.deepEqual(WriterLog.streams(db, { prefix: 'a' }), [])
  assert.deepEqual(WriterLog.writers(db, 's'), [])
  assert.deepEqual(WriterLog.heads(db, 's'), [])
  assert.deepEqual(WriterLog.entries(db, 's', 'w'), [])
  assert.equal(WriterLog.head(db, 's', 'w'), null)
  assert.equal(WriterLog.entry(db, 's', 'w', 1n), null)
})

test('heads are those of every writer of the stream, in binary order', () => {
  using db = opened()
  for (const writer of ['b', '', 'a', 'b', 'b']) WriterLog.append(db, 's', writer, 'x')
  WriterLog.append(db, 'other', 'z', 'x')
  const expected = ['', 'a', 'b'].map((writer) => {
    const { seq, contentHash } = defined(WriterLog.head(db, 's', writer))
    return { stream: 's', writer, seq, contentHash }
  })
  assert.deepEqual(WriterLog.heads(db, 's'), expected)
  assert.deepEqual(
    expected.map(({ seq }) => seq),
    [1n, 1n, 3n],
  )
})

test('entries: after, limit and reverse, as list and one at a time', () => {
  using db = opened()
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 20 }, (_, i) => `${i + 1}`),
  )
  const cases = [
    [{}, 1, 20],
    [{ after: 0n }, 1, 20],
    [{ after: 15n }, 16, 20],
    [{ after: 20n }, 0, -1],
    [{ after: MAX }, 0, -1],
    [{ limit: 0 }, 0, -1],
    [{ limit: 3 }, 1, 3],
    [{ after: 5n, limit: 3 }, 6, 8],
    [{ after: 18n, limit: 100 }, 19, 20],
    [{ limit: Number.MAX_SAFE_INTEGER }, 1, 20],
  ] as const
  for (const [options, from, to] of cases) {
    const expected = Array.from({ length: to - from + 1 }, (_, i) => BigInt(from + i))
    const list = WriterLog.entries(db, 's', 'w', options)
    assert.deepEqual(
      list.map(({ seq }) => seq),
      expected,
    )
    assert.deepEqual([...WriterLog.read(db, 's', 'w', options)].map(plain), list.map(plain))
  }
  const seqs = (options: object) => WriterLog.entries(db, 's', 'w', options).map(({ seq }) => seq)
  assert.deepEqual(seqs({ reverse: true, limit: 3 }), [20n, 19n, 18n])
  assert.deepEqual(seqs({ reverse: true, after: 18n }), [20n, 19n])
  assert.deepEqual(seqs({ reverse: true, after: 18n, limit: 1 }), [20n])
})

test('read can be left early, and reading again starts anew', () => {
  using db = opened()
  WriterLog.appendMany(db, 's', 'w', ['1', '2', '3'])
  for (const { seq } of WriterLog.read(db, 's', 'w')) if (seq === 2n) break
  assert.equal([...WriterLog.read(db, 's', 'w')].length, 3)
})

test('expectedHead null appends to an empty log only', () => {
  using db = opened()
  const one = WriterLog.append(db, 's', 'w', 'one', { expectedHead: null })
  assert.equal(one.seq, 1n)
  assert.throws(
    () => WriterLog.append(db, 's', 'w', 'two', { expectedHead: null }),
    (error) => {
      assert.ok(error instanceof ConflictError)
      assert.equal(error.expected, null)
      assert.deepEqual(error.actual, { seq: 1n, contentHash: one.contentHash })
      return true
    },
  )
  assert.equal(count(db), 1n)
})

test('expectedHead lets one of two that read the same head through', () => {
  using db = opened()
  const head = append(db, 'one')
  const two = WriterLog.append(db, 's', 'w', 'two', { expectedHead: head })
  assert.equal(two.seq, 2n)
  for (const run of [
    () => WriterLog.append(db, 's', 'w', 'rival', { expectedHead: head }),
    () => WriterLog.appendMany(db, 's', 'w', ['rival', 'more'], { expectedHead: head }),
    () => WriterLog.appendMany(db, 's', 'w', [], { expectedHead: head }),
  ]) {
    assert.throws(run, (error) => {
      assert.ok(error instanceof ConflictError)
      assert.equal(error.expected?.seq, 1n)
      assert.deepEqual(error.actual, { seq: 2n, contentHash: two.contentHash })
      return true
    })
  }
  const { seq, contentHash } = two
  WriterLog.appendMany(db, 's', 'w', ['three', 'four'], { expectedHead: { seq, contentHash } })
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 4n)
})

test('expectedHead wants seq and hash both, and a head that lies ahead is a conflict too', () => {
  using db = opened()
  const head = append(db, 'one')
  const wrong = [
    { seq: 1n, contentHash: noise(32, 1) },
    { seq: 2n, contentHash: head.contentHash },
    { seq: MAX, contentHash: head.contentHash },
  ]
  for (const expectedHead of wrong) {
    assert.throws(
      () => WriterLog.append(db, 's', 'w', 'x', { expectedHead }),
      (error) => {
        assert.ok(error instanceof ConflictError, String(error))
        return true
      },
    )
    assert.throws(
      () => WriterLog.append(db, 'new', 'w', 'x', { expectedHead }),
      (error) => {
        assert.ok(error instanceof ConflictError, String(error))
        assert.equal(error.actual, null)
        return true
      },
    )
  }
  assert.equal(count(db), 1n)
})

test('appendMany is all or none, and gives what it stored', () => {
  using db = opened()
  append(db, 'before')
  assert.deepEqual(WriterLog.appendMany(db, 's', 'w', []), [])
  const entries = WriterLog.appendMany(db, 's', 'w', new Set(['a', 'b', 'c']))
  assert.deepEqual(
    entries.map(({ seq }) => seq),
    [2n, 3n, 4n],
  )
  assert.deepEqual(WriterLog.entries(db, 's', 'w', { after: 1n }).map(plain), entries)
  assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['d', '\ud800', 'e']), /payloads\[1\]/)
  assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['d', null as never]), TypeError)
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 4n)
  assert.equal(append(db, 'after').seq, 5n)
})

test('appendMany stores nothing when the database refuses one in the middle', () => {
  using db = opened()
  db.exec(
    "CREATE TRIGGER picky BEFORE INSERT ON _agent_store_log WHEN NEW.seq = 3 BEGIN SELECT RAISE(ABORT, 'picky'); END",
  )
  assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['1', '2', '3', '4']), /picky/)
  assert.equal(count(db), 0n)
  db.exec('DROP TRIGGER picky')
  assert.equal(append(db, '1').seq, 1n)
})

test('what was remembered of a head survives a rollback without harm', () => {
  using db = opened()
  append(db, 'one')
  assert.throws(
    () =>
      db.transaction(() => {
        assert.equal(append(db, 'lost').seq, 2n)
        assert.equal(append(db, 'lost').seq, 3n)
        throw new Error('no')
      }),
    /no/,
  )
  assert.equal(append(db, 'two').seq, 2n)
  db.transaction(() => {
    assert.throws(() =>
      db.transaction(() => {
        WriterLog.appendMany(db, 's', 'w', ['lost', 'lost'])
        throw new Error('no')
      }),
    )
    assert.equal(append(db, 'three').seq, 3n)
  })
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 3n)
})

test('a rolled-back head with the same seq but another hash is not taken for the head', () => {
  using db = opened()
  assert.throws(() =>
    db.transaction(() => {
      append(db, 'lost')
      throw new Error('no')
    }),
  )
  db.connection.exec("INSERT INTO _agent_store_log VALUES ('s', 'w', 1, NULL, zeroblob(32), x'00')")
  assert.deepEqual(append(db, 'two').prevHash, new Uint8Array(32))
})

test('another connection may append in between, and neither leaves a gap', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  WriterLog.ensureSchema(one)
  using two = SqliteBackend.open(path)
  const seqs: bigint[] = []
  for (let i = 0; i < 10; i++) {
    seqs.push(append(one, `one ${i}`).seq)
    seqs.push(append(two, `two ${i}`).seq)
    if (i % 3 === 0) seqs.push(append(two, `two again ${i}`).seq)
  }
  assert.deepEqual(
    seqs,
    Array.from({ length: 24 }, (_, i) => BigInt(i + 1)),
  )
  assert.equal(WriterLog.verify(one, 's', 'w')?.seq, 24n)
})

/** A store, and somebody else who can change it behind its back. */
function withOther(t: TestContext): { db: SqliteBackend; other: SqliteBackend } {
  const file = join(temporaryFolder(t), 'store.db')
  const [db, other] = [SqliteBackend.open(file), SqliteBackend.open(file)]
  t.after(() => {
    db.close()
    other.close()
  })
  WriterLog.ensureSchema(db)
  return { db, other }
}

test('a log that was deleted meanwhile starts anew, where its own backend deleted it', () => {
  using db = opened()
  append(db, 'one')
  append(db, 'two')
  db.exec('DELETE FROM _agent_store_log')
  assert.equal(append(db, 'one').seq, 1n)
})

test('a log that lost what was acknowledged is said to have, by head and append', (t) => {
  const { db, other } = withOther(t)
  append(db, 'one')
  append(db, 'two')
  const isLost = (error: unknown) => {
    assert.ok(error instanceof LogRegressedError)
    assert.deepEqual([error.code, error.acknowledged.seq], ['STORE_LOG_REGRESSED', 2n])
    return true
  }
  other.exec('DELETE FROM _agent_store_log WHERE seq = 2')
  assert.throws(() => WriterLog.head(db, 's', 'w'), isLost)
  assert.throws(() => append(db, 'three'), isLost)
  other.exec('DELETE FROM _agent_store_log')
  assert.throws(() => append(db, 'three'), isLost)
  assert.equal(WriterLog.entries(db, 's', 'w').length, 0, 'nothing was written')
})

test('what was appended in a transaction counts as acknowledged once it is committed', (t) => {
  const { db, other } = withOther(t)
  append(db, 'one')
  db.transaction(() => append(db, 'two'))
  assert.throws(() =>
    db.transaction(() => {
      append(db, 'undone')
      throw new Error('no')
    }),
  )
  assert.equal(WriterLog.head(db, 's', 'w')?.seq, 2n)
  other.exec('DELETE FROM _agent_store_log WHERE seq = 2')
  assert.throws(() => append(db, 'three'), LogRegressedError)
})

test('an entry with another hash in the place of one that was acknowledged is found', (t) => {
  const { db, other } = withOther(t)
  append(db, 'one')
  append(db, 'two')
  other.exec('DELETE FROM _agent_store_log WHERE seq = 2')
  const prevHash = chainHash(null, utf8('one'))
  insertRaw(other, ['s', 'w', 2n, prevHash, chainHash(prevHash, utf8('other')), utf8('other')])
  assert.throws(() => append(db, 'three'), LogRegressedError)
})

test('more logs than are remembered are appended to all the same', () => {
  using db = opened()
  db.transaction(() => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 16_500; i++) WriterLog.append(db, 's', `${i}`, 'x')
    }
  })
  assert.equal(WriterLog.head(db, 's', '0')?.seq, 2n)
  assert.equal(WriterLog.head(db, 's', '16499')?.seq, 2n)
})

test('a log that is full at 2^63-1 says so', () => {
  using db = opened()
  insertRaw(db, ['s', 'w', MAX, noise(32, 1), noise(32, 2), utf8('x')])
  assert.throws(() => append(db, 'one too many'), /is full at seq 9223372036854775807/)
  assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['x']), { code: 'STORE_BACKEND' })
  assert.equal(count(db), 1n)
})

test('a malformed head is reported by whoever builds on it, and not built on', () => {
  for (const [seq, hash] of [
    [1n, new Uint8Array(31)],
    [1n, 'x'.repeat(32)],
    [1.5, new Uint8Array(32)],
    ['one', new Uint8Array(32)],
    [0n, new Uint8Array(32)],
  ] as const) {
    using db = opened()
    insertRaw(db, ['s', 'w', seq, null, hash, new Uint8Array(0)])
    assert.throws(() => append(db, 'x'), MalformedRowError)
    assert.throws(() => WriterLog.appendMany(db, 's', 'w', ['x']), MalformedRowError)
    assert.throws(() => WriterLog.head(db, 's', 'w'), MalformedRowError)
    assert.throws(() => WriterLog.heads(db, 's'), MalformedRowError)
    assert.equal(count(db), 1n)
  }
})

test('without its table every call says what to do', () => {
  using db = SqliteBackend.inMemory()
  for (const run of [() => append(db, 'x'), () => WriterLog.head(db, 's', 'w')]) {
    assert.throws(run, /WriterLog\.ensureSchema\(db\)/)
  }
})

test("an append of the crate's own form is one that this library continues", () => {
  using db = opened()
  const first: Entry = { ...append(db, 'hello world') }
  db.connection
    .prepare('INSERT INTO _agent_store_log VALUES (?, ?, ?, ?, ?, ?)')
    .run('s', 'w', 2, first.contentHash, chainHash(first.contentHash, utf8('rust')), utf8('rust'))
  assert.equal(append(db, 'next').seq, 3n)
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 3n)
})

test('a payload beyond what SQLite stores is refused with its limit, and nothing is written', () => {
  const connection = new DatabaseSync(':memory:', { limits: { length: 10_000 } })
  const db = SqliteBackend.fromConnection(connection)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'fits')
  for (const size of [10_001, 9_990]) {
    assert.throws(
      () => WriterLog.append(db, 's', 'w', new Uint8Array(size)),
      (error) => {
        assert.ok(error instanceof RangeError, String(error))
        assert.match(error.message, /beyond the size that this SQLite stores/)
        return true
      },
    )
  }
  assert.equal(WriterLog.append(db, 's', 'w', 'fits too').seq, 2n)
  WriterLog.verify(db, 's', 'w')
})

test('an entry that a trigger swallows is not acknowledged', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  db.exec(
    'CREATE TRIGGER swallow BEFORE INSERT ON _agent_store_log BEGIN SELECT RAISE(IGNORE); END',
  )
  assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), /did not store the entry/)
  assert.equal(WriterLog.head(db, 's', 'w'), null)
})
