/**
 * The counter only moves forward, never wraps, and leaves a damaged value as it was found.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import {
  Generation,
  GenerationExhaustedError,
  GenerationRegressedError,
  MalformedRowError,
  NonMonotonicGenerationError,
  SqliteBackend,
  StaleGenerationError,
  type Value,
  WriterLog,
} from 'agent-store'
import { temporaryFolder } from '../support.ts'

const MAX = 2n ** 63n - 1n

function opened(): SqliteBackend {
  const db = SqliteBackend.inMemory()
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
  return db
}

const stored = (db: SqliteBackend, key: string) =>
  db.query('SELECT typeof(ival), ival FROM _agent_store_meta WHERE key = ?', [key])[0]

test('a counter starts at 0 and each bump gives the next value', () => {
  using db = opened()
  const report = new Generation('report')
  assert.equal(report.current(db), 0n)
  assert.deepEqual(Generation.list(db), [])
  assert.equal(report.bump(db), 1n)
  assert.equal(report.bump(db), 2n)
  assert.equal(report.current(db), 2n)
  assert.equal(new Generation('report').current(db), 2n)
})

test('set moves forward or stays, and refuses to go back', () => {
  using db = opened()
  const report = new Generation('report')
  report.set(db, 10n)
  assert.equal(report.current(db), 10n)
  report.set(db, 10n)
  report.set(db, 11n)
  assert.throws(
    () => report.set(db, 10n),
    (error) => {
      assert.ok(error instanceof NonMonotonicGenerationError)
      assert.deepEqual([error.key, error.current, error.attempted], ['report', 11n, 10n])
      return true
    },
  )
  assert.equal(report.current(db), 11n)
})

test('set to 0 creates the counter', () => {
  using db = opened()
  new Generation('zero').set(db, 0n)
  assert.deepEqual(Generation.list(db), [{ key: 'zero', value: 0n }])
})

test('counters are told apart byte by byte and listed in binary order', () => {
  using db = opened()
  const keys = ['b', '', 'ä', 'a', 'A', 'a ', '\u{10000}', '\uffff', "'; DROP TABLE x; --"]
  for (const [i, key] of keys.entries()) new Generation(key).set(db, BigInt(i))
  assert.deepEqual(
    Generation.list(db).map(({ key }) => key),
    [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  )
  for (const [i, key] of keys.entries()) {
    assert.equal(new Generation(key).current(db), BigInt(i))
  }
})

test('values beyond 2^53 are exact', () => {
  using db = opened()
  const big = new Generation('big')
  big.set(db, 2n ** 53n)
  assert.equal(big.bump(db), 2n ** 53n + 1n)
  assert.equal(big.bump(db), 2n ** 53n + 2n)
  assert.throws(() => big.set(db, 2n ** 53n + 1n), NonMonotonicGenerationError)
})

test('a bump at 2^63-1 fails and leaves it unharmed', () => {
  using db = opened()
  const last = new Generation('last')
  last.set(db, MAX - 1n)
  assert.equal(last.bump(db), MAX)
  for (let i = 0; i < 2; i++) {
    assert.throws(() => last.bump(db), GenerationExhaustedError)
    assert.deepEqual(stored(db, 'last'), ['integer', MAX])
  }
  last.set(db, MAX)
})

const DAMAGED: readonly (readonly [string, Value, string, Value])[] = [
  ['a fraction', 1.5, 'real', 1.5],
  ['a real that no integer can hold', 1e300, 'real', 1e300],
  ['infinity', Number.POSITIVE_INFINITY, 'real', Number.POSITIVE_INFINITY],
  ['text', 'seven', 'text', 'seven'],
  ['empty text', '', 'text', ''],
  ['a blob', Uint8Array.of(1), 'blob', Uint8Array.of(1)],
  ['a negative', -1n, 'integer', -1n],
  ['the least integer', -(2n ** 63n), 'integer', -(2n ** 63n)],
  ['a negative fraction', -0.5, 'real', -0.5],
  ['2^63 as a real', 2 ** 63, 'real', 2 ** 63],
]
for (const [name, value, type, expected] of DAMAGED) {
  test(`a counter that holds ${name} is reported and left as it was`, () => {
    using db = opened()
    db.exec('INSERT INTO _agent_store_meta VALUES (?, ?)', ['k', value])
    const damaged = new Generation('k')
    assert.throws(() => damaged.current(db), MalformedRowError, 'current')
    assert.throws(() => damaged.bump(db), MalformedRowError, 'bump')
    assert.throws(() => damaged.set(db, 5n), MalformedRowError, 'set')
    assert.throws(() => damaged.set(db, MAX), MalformedRowError, 'set to the largest')
    assert.throws(() => Generation.list(db), MalformedRowError, 'list')
    assert.throws(() => db.transaction(() => damaged.fence(db, 1n)), MalformedRowError, 'fence')
    assert.deepEqual(stored(db, 'k'), [type, expected])
  })
}

test('a fence lets the holder pass and turns a stale one away, with all it wrote', () => {
  using db = opened()
  const report = new Generation('report')
  const mine = report.bump(db)
  const write = (text: string) =>
    db.transaction(() => {
      report.fence(db, mine)
      WriterLog.append(db, 's', 'w', text)
    })
  write('while I hold it')
  report.bump(db)
  assert.throws(
    () => write('too late'),
    (error) => {
      assert.ok(error instanceof StaleGenerationError)
      assert.deepEqual([error.key, error.held, error.current], ['report', 1n, 2n])
      return true
    },
  )
  assert.equal(WriterLog.head(db, 's', 'w')?.seq, 1n)
})

test('a stale fence after a write rolls the write back', () => {
  using db = opened()
  const report = new Generation('report')
  report.set(db, 5n)
  assert.throws(
    () =>
      db.transaction(() => {
        WriterLog.append(db, 's', 'w', 'x')
        report.fence(db, 4n)
      }),
    StaleGenerationError,
  )
  assert.equal(WriterLog.head(db, 's', 'w'), null)
})

test('a counter that was never moved is fenced at 0', () => {
  using db = opened()
  db.transaction(() => new Generation('new').fence(db, 0n))
  assert.throws(
    () => db.transaction(() => new Generation('new').fence(db, 1n)),
    StaleGenerationError,
  )
})

test('a fence outside a transaction is refused', () => {
  using db = opened()
  assert.throws(() => new Generation('k').fence(db, 0n), /inside db\.transaction\(\)/)
})

test('a bump is undone by the rollback of the transaction around it', () => {
  using db = opened()
  const report = new Generation('report')
  report.bump(db)
  assert.throws(
    () =>
      db.transaction(() => {
        assert.equal(report.bump(db), 2n)
        throw new Error('no')
      }),
    /no/,
  )
  assert.equal(report.current(db), 1n)
  assert.equal(report.bump(db), 2n)
})

test('a counter is kept in the file, and two connections see one', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  Generation.ensureSchema(one)
  using two = SqliteBackend.open(path)
  const report = new Generation('report')
  assert.equal(report.bump(one), 1n)
  assert.equal(report.bump(two), 2n)
  assert.equal(report.bump(one), 3n)
})

test('what is no name or value is refused, and named', () => {
  using db = opened()
  assert.throws(() => new Generation(5 as never), /key must be a string, got number: 5/)
  assert.throws(() => new Generation('a\0b'), /key holds a NUL/)
  assert.throws(() => new Generation('\udc00'), /key holds a lone surrogate/)
  const k = new Generation('k')
  assert.throws(() => k.set(db, 5 as never), /value must be a bigint, got number: 5/)
  assert.throws(() => k.set(db, -1n), RangeError)
  assert.throws(() => k.set(db, MAX + 1n), RangeError)
  assert.throws(() => db.transaction(() => k.fence(db, 1 as never)), /held must be a bigint/)
  assert.throws(() => db.transaction(() => k.fence(db, -1n)), RangeError)
  assert.deepEqual(Generation.list(db), [])
})

test('without its table every call says what to do', () => {
  using db = SqliteBackend.inMemory()
  assert.throws(() => new Generation('k').bump(db), /call Generation\.ensureSchema\(db\)/)
})

test('a counter behind what this backend was given is said to be, and no value is given twice', () => {
  using db = opened()
  const report = new Generation('report')
  for (let i = 1n; i <= 5n; i++) report.bump(db)
  const isBehind = (error: unknown) => {
    assert.ok(error instanceof GenerationRegressedError)
    assert.deepEqual([error.key, error.acknowledged], ['report', 5n])
    return true
  }
  // As an older copy that was put over the file.
  db.exec('UPDATE _agent_store_meta SET ival = 3')
  assert.throws(() => report.current(db), isBehind)
  assert.throws(() => report.bump(db), isBehind)
  assert.throws(() => report.set(db, 4n), isBehind)
  assert.throws(() => db.transaction(() => report.fence(db, 5n)), isBehind)
  db.exec('DELETE FROM _agent_store_meta')
  assert.throws(() => report.current(db), isBehind)
  report.set(db, 6n)
  assert.equal(report.bump(db), 7n)
})

test('a value that was rolled back was never acknowledged', () => {
  using db = opened()
  const report = new Generation('report')
  report.bump(db)
  assert.throws(() =>
    db.transaction(() => {
      report.bump(db)
      report.set(db, 9n)
      throw new Error('no')
    }),
  )
  assert.equal(report.current(db), 1n)
  assert.equal(report.bump(db), 2n)
  db.transaction(() => {
    report.bump(db)
    report.bump(db)
  })
  assert.equal(report.current(db), 4n)
})

test('a value that is told of late does not hide a later one', () => {
  using db = opened()
  const report = new Generation('report')
  db.transaction(() => {
    db.afterCommit(() => {
      db.transaction(() => report.bump(db))
      report.bump(db)
    })
    report.bump(db)
  })
  assert.equal(report.current(db), 3n)
  db.exec('UPDATE _agent_store_meta SET ival = 2')
  assert.throws(() => report.bump(db), GenerationRegressedError)
})
