/**
 * The SQLite backend: values there and back, one statement a call, and the same behaviour
 * whichever driver is underneath.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import {
  BackendError,
  BusyError,
  ClosedError,
  SqliteBackend,
  type SqliteConnection,
  type Value,
  WriterLog,
} from 'agent-store'
import Database from 'better-sqlite3'
import { temporaryFolder, unlessOn, warningCodes } from '../support.ts'

/** The three ways to a backend in memory; `end` closes what the backend does not own. */
const WAYS: readonly (readonly [string, () => { db: SqliteBackend; end: () => void }])[] = [
  ['inMemory', () => ({ db: SqliteBackend.inMemory(), end: () => {} })],
  [
    'a DatabaseSync',
    () => {
      const connection = new DatabaseSync(':memory:')
      return { db: SqliteBackend.fromConnection(connection), end: () => connection.close() }
    },
  ],
  [
    'a better-sqlite3 Database',
    () => {
      const connection = new Database(':memory:')
      return { db: SqliteBackend.fromConnection(connection), end: () => connection.close() }
    },
  ],
]

function onEveryDriver(
  name: string,
  run: (db: SqliteBackend) => void,
  skip: string | false = false,
): void {
  for (const [way, make] of WAYS) {
    test(`${way}: ${name}`, { skip }, () => {
      const { db, end } = make()
      try {
        run(db)
      } finally {
        db.close()
        end()
      }
    })
  }
}

/** The three calls that take SQL. */
const calls = (db: SqliteBackend): readonly ((sql: string) => unknown)[] => [
  (sql) => db.exec(sql),
  (sql) => db.query(sql),
  (sql) => db.iterate(sql),
]

onEveryDriver('every kind of value comes back as it was', (db) => {
  const values: Value[] = [
    null,
    0n,
    -1n,
    2n ** 53n + 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    1.5,
    -0.25,
    5e-324,
    Number.MAX_VALUE,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    '',
    'Zürich 🦀',
    '\ufffd',
    new Uint8Array(0),
    Uint8Array.of(0, 255, 0),
  ]
  assert.deepEqual(db.query(`SELECT ${values.map(() => '?').join()}`, values), [values])
  assert.deepEqual([...db.iterate(`SELECT ${values.map(() => '?').join()}`, values)], [values])
})

onEveryDriver('bytes come back as a plain Uint8Array', (db) => {
  const [row] = db.query("SELECT x'0102'")
  assert.equal(Object.getPrototypeOf(row?.[0]), Uint8Array.prototype)
})

onEveryDriver('a Buffer and a view into a larger buffer are bytes', (db) => {
  const view = Uint8Array.of(9, 1, 2, 9).subarray(1, 3)
  assert.deepEqual(db.query('SELECT hex(?), hex(?)', [Buffer.from('ab'), view]), [['6162', '0102']])
})

onEveryDriver('a number is a real, even a whole one', (db) => {
  assert.deepEqual(db.query('SELECT typeof(?), typeof(?)', [5, 5n]), [['real', 'integer']])
})

onEveryDriver('exec gives the number of rows it changed', (db) => {
  assert.equal(db.exec('CREATE TABLE t (a)'), 0)
  assert.equal(db.exec('INSERT INTO t VALUES (1), (2), (3)'), 3)
  assert.equal(db.exec('UPDATE t SET a = a + ? WHERE a > ?', [1n, 1n]), 2)
  assert.equal(db.exec('DELETE FROM t'), 3)
  assert.equal(db.exec('DELETE FROM t'), 0)
})

onEveryDriver(
  'query gives all rows, those of RETURNING too, and none for a statement without',
  (db) => {
    db.exec('CREATE TABLE t (a)')
    assert.deepEqual(db.query('INSERT INTO t VALUES (?), (?) RETURNING a', [1n, 2n]), [[1n], [2n]])
    assert.deepEqual(db.query('SELECT a FROM t WHERE a > 5'), [])
    assert.deepEqual(db.query('INSERT INTO t VALUES (3)'), [])
    assert.deepEqual(db.query('SELECT count(*) FROM t'), [[3n]])
  },
)

onEveryDriver('exec refuses a statement that returns rows, and does not run it', (db) => {
  db.exec('CREATE TABLE t (a)')
  assert.throws(() => db.exec('SELECT 1'), /sql returns rows; use query\(\)/)
  assert.throws(() => db.exec('INSERT INTO t VALUES (1) RETURNING a'), TypeError)
  assert.deepEqual(db.query('SELECT count(*) FROM t'), [[0n]])
})

onEveryDriver('more than one statement is refused, and none of it is run', (db) => {
  db.exec('CREATE TABLE t (a)')
  for (const sql of [
    'INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)',
    'INSERT INTO t VALUES (1);/* and */ DELETE FROM t;',
    "INSERT INTO t VALUES (';'); -- then\n DELETE FROM t",
  ]) {
    for (const run of calls(db)) {
      assert.throws(() => run(sql), TypeError, sql)
    }
  }
  assert.deepEqual(db.query('SELECT count(*) FROM t'), [[0n]])
})

onEveryDriver('a semicolon, blanks and comments around one statement are fine', (db) => {
  assert.deepEqual(db.query(' -- one\n /* two */ SELECT 1 ; '), [[1n]])
  assert.deepEqual(db.query("SELECT ';' ; -- the end"), [[';']])
})

onEveryDriver('transaction control is refused in whatever case and behind comments', (db) => {
  for (const sql of [
    'BEGIN',
    'begin immediate',
    ' COMMIT',
    'END',
    'ROLLBACK',
    'Savepoint x',
    'RELEASE x',
    '-- a\nBEGIN',
    '/* a */ BEGIN',
    '/* a\n*/ -- b\n commit',
  ]) {
    for (const run of calls(db)) {
      assert.throws(() => run(sql), /use transaction\(\)/, sql)
    }
  }
  assert.equal(db.inTransaction, false)
})

onEveryDriver('transaction control stays refused once the scope itself has used it', (db) => {
  db.transaction(() => db.transaction(() => 1))
  for (const sql of ['BEGIN IMMEDIATE', 'COMMIT', 'SAVEPOINT _agent_store_1']) {
    assert.throws(() => db.exec(sql), /use transaction\(\)/, sql)
  }
})

onEveryDriver('a parameter that no column holds is refused before it is sent', (db) => {
  db.exec('CREATE TABLE t (a)')
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /parameter 1 must be null, bigint, number, string or Uint8Array, got undefined/],
    [true, /parameter 1 must be .*, got boolean: true/],
    [{}, /parameter 1 must be .*, got object/],
    [[1n], /parameter 1 must be .*, got object/],
    [new Date(0), /parameter 1 must be .*, got object/],
    [Symbol('s'), /parameter 1 must be .*, got symbol/],
    [2n ** 63n, /parameter 1 must fit in 64 bits/],
    [-(2n ** 63n) - 1n, /parameter 1 must fit in 64 bits/],
    [Number.NaN, /parameter 1 is NaN/],
    ['a\0b', /parameter 1 holds a NUL/],
    ['\ud800', /parameter 1 holds a lone surrogate/],
  ]
  for (const [value, message] of wrong) {
    const params = [value] as Value[]
    assert.throws(() => db.exec('INSERT INTO t VALUES (?)', params), message)
    assert.throws(() => db.query('SELECT ?', params), message)
    assert.throws(() => db.iterate('SELECT ?', params), message)
  }
  assert.throws(() =>
    db.exec('INSERT INTO t VALUES (?)', [new DataView(new ArrayBuffer(1))] as never),
  )
  assert.deepEqual(db.query('SELECT count(*) FROM t'), [[0n]])
})

onEveryDriver('parameters may be numbered, where the driver takes them by their places', (db) => {
  assert.throws(() => db.query('SELECT ?1', [1n, 2n]))
})

onEveryDriver('what the database refuses is a BackendError with its name and its cause', (db) => {
  db.exec('CREATE TABLE t (a PRIMARY KEY)')
  db.exec('INSERT INTO t VALUES (1)')
  const refused = (run: () => unknown, driverCode: string) =>
    assert.throws(run, (error) => {
      assert.ok(error instanceof BackendError)
      assert.equal(error.driverCode, driverCode)
      assert.ok(error.cause instanceof Error)
      return true
    })
  refused(() => db.exec('INSERT INTO t VALUES (1)'), 'SQLITE_CONSTRAINT')
  refused(() => db.query('SELECT nothing FROM t'), 'SQLITE_ERROR')
  refused(() => db.exec('this is no SQL'), 'SQLITE_ERROR')
  refused(() => db.query('SELECT abs(-9223372036854775807 - 1)'), 'SQLITE_ERROR')
})

onEveryDriver('sql that is no text is refused', (db) => {
  assert.throws(() => db.query(5 as never), /sql must be a string/)
  assert.throws(() => db.query("SELECT 'a\0b'"), /sql holds a NUL/)
})

onEveryDriver('iterate gives row after row and can be left early', (db) => {
  db.exec('CREATE TABLE t (a)')
  db.exec('INSERT INTO t VALUES (1), (2), (3)')
  const seen: unknown[] = []
  for (const [a] of db.iterate('SELECT a FROM t ORDER BY a')) {
    seen.push(a)
    if (a === 2n) break
  }
  assert.deepEqual(seen, [1n, 2n])
  db.exec('DROP TABLE t') // nothing holds it any more
})

onEveryDriver('an iteration that was begun and dropped at its first row lets go', (db) => {
  db.exec('CREATE TABLE t (a)')
  db.exec('INSERT INTO t VALUES (1), (2)')
  const rows = db.iterate('SELECT a FROM t')
  assert.deepEqual(rows.next(), { done: false, value: [1n] })
  rows.return?.()
  assert.equal(rows.next().done, true)
  db.exec('DROP TABLE t')
})

test('inMemory: the same SQL may be iterated inside itself', () => {
  using db = SqliteBackend.inMemory()
  const sql = 'WITH n(a) AS (VALUES (1), (2), (3)) SELECT a FROM n'
  const pairs: string[] = []
  for (const [a] of db.iterate(sql)) {
    for (const [b] of db.iterate(sql)) pairs.push(`${a}${b}`)
    assert.equal(db.query(sql).length, 3)
  }
  assert.deepEqual(pairs, ['11', '12', '13', '21', '22', '23', '31', '32', '33'])
})

test('inMemory: two iterations of the same SQL in step do not disturb each other', () => {
  using db = SqliteBackend.inMemory()
  const sql = 'WITH n(a) AS (VALUES (1), (2)) SELECT a + ? FROM n'
  const one = db.iterate(sql, [0n])
  const two = db.iterate(sql, [10n])
  const values = [one.next(), two.next(), one.next(), two.next(), one.next(), two.next()]
  assert.deepEqual(
    values.map(({ value }) => value?.[0]),
    [1n, 11n, 2n, 12n, undefined, undefined],
  )
})

onEveryDriver('more statements than are kept work on, each with its own result', (db) => {
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 300; i++) {
      assert.deepEqual(db.query(`SELECT ${i} + ?`, [1n]), [[BigInt(i) + 1n]])
    }
  }
})

onEveryDriver(
  'a statement prepared before the table changed sees the change',
  (db) => {
    db.exec('CREATE TABLE t (a)')
    db.exec('INSERT INTO t VALUES (1)')
    assert.deepEqual(db.query('SELECT * FROM t'), [[1n]])
    db.exec('ALTER TABLE t ADD COLUMN b DEFAULT 2')
    assert.deepEqual(db.query('SELECT * FROM t'), [[1n, 2n]])
  },
  unlessOn('deno', 'its node:sqlite keeps the old columns of a prepared SELECT *'),
)

test('a closed backend refuses everything, and closing it again does nothing', () => {
  const db = SqliteBackend.inMemory()
  const rows = db.iterate('SELECT 1 UNION ALL SELECT 2')
  db.close()
  db.close()
  db[Symbol.dispose]()
  const calls: readonly (() => unknown)[] = [
    () => db.exec('SELECT 1'),
    () => db.query('SELECT 1'),
    () => db.iterate('SELECT 1'),
    () => db.transaction(() => 1),
    () => db.snapshot(() => 1),
    () => db.afterCommit(() => {}),
    () => db.inTransaction,
    () => db.journalMode,
    () => WriterLog.append(db, 's', 'w', 'x'),
    () => rows.next(),
  ]
  for (const call of calls) assert.throws(call, ClosedError, String(call))
})

test('closing during an iteration ends it with a ClosedError, not with fewer rows', () => {
  const db = SqliteBackend.inMemory()
  const rows = db.iterate('SELECT 1 UNION ALL SELECT 2')
  assert.equal(rows.next().done, false)
  db.close()
  assert.throws(() => rows.next(), ClosedError)
})

test('a connection that its owner closed is closed for the backend too', () => {
  for (const connection of [new DatabaseSync(':memory:'), new Database(':memory:')]) {
    const db = SqliteBackend.fromConnection(connection as SqliteConnection)
    connection.close()
    assert.throws(() => db.query('SELECT 1'), ClosedError)
    assert.throws(() => db.transaction(() => 1), ClosedError)
    db.close()
  }
})

test('closing inside a transaction or snapshot is refused, and it goes on', () => {
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE t (a)')
  db.transaction(() => {
    db.exec('INSERT INTO t VALUES (1)')
    assert.throws(() => db.close(), /close\(\) must be called outside/)
    db.exec('INSERT INTO t VALUES (2)')
  })
  db.snapshot(() => assert.throws(() => db.close(), TypeError))
  assert.deepEqual(db.query('SELECT count(*) FROM t'), [[2n]])
})

test('what was opened is closed with the backend; what was handed in stays open', (t) => {
  const own = SqliteBackend.open(join(temporaryFolder(t), 'own.db'))
  own.close()
  assert.equal(own.connection.isOpen, false)
  const connection = new DatabaseSync(':memory:')
  SqliteBackend.fromConnection(connection).close()
  assert.equal(connection.isOpen, true)
  connection.close()
})

test("connection is the very connection, for the consumer's own tables", () => {
  const connection = new Database(':memory:')
  const db = SqliteBackend.fromConnection(connection)
  assert.equal(db.connection, connection)
  assert.equal(db.path, undefined)
  db.connection.exec('CREATE TABLE own (a)')
  assert.equal(db.exec('INSERT INTO own VALUES (1)'), 1)
  connection.close()
  using mine = SqliteBackend.inMemory()
  mine.connection.exec('CREATE TABLE own (a)')
  assert.equal(mine.exec('INSERT INTO own VALUES (1)'), 1)
})

test("what a consumer's own function throws comes through, or is the cause", {
  skip: unlessOn('deno', 'its node:sqlite hangs when a function throws'),
}, () => {
  using db = SqliteBackend.inMemory()
  const thrown: unknown[] = [new Error('mine'), new RangeError('too far'), 'text']
  db.connection.function('fails', (n) => {
    throw thrown[Number(n)]
  })
  const cause = (n: bigint) => {
    try {
      return db.query('SELECT fails(?)', [n])
    } catch (error) {
      return error
    }
  }
  const wrapped = cause(0n)
  assert.ok(wrapped instanceof BackendError)
  assert.deepEqual([wrapped.message, wrapped.cause], ['mine', thrown[0]])
  assert.equal(cause(1n), thrown[1])
  assert.equal(cause(2n), thrown[2])
})

test('a connection that pretends to be of an older SQLite is refused', (t) => {
  using connection = new DatabaseSync(join(temporaryFolder(t), 'fleet.db'), { timeout: 100 })
  connection.function('sqlite_version', () => '3.51.2')
  assert.throws(() => SqliteBackend.fromConnection(connection), {
    code: 'STORE_BACKEND',
    message: /^SQLite 3\.51\.2 can corrupt a file .* 3\.51\.3 or newer is needed/,
  })
  using memory = new DatabaseSync(':memory:')
  memory.function('sqlite_version', () => '3.51.2')
  SqliteBackend.fromConnection(memory).close()
})

test('what is no connection is refused', () => {
  for (const wrong of [null, undefined, {}, 'fleet.db', 5]) {
    assert.throws(() => SqliteBackend.fromConnection(wrong as never), /connection must be/)
  }
})

const PRAGMAS = [
  'journal_mode',
  'synchronous',
  'busy_timeout',
  'foreign_keys',
  'query_only',
  'cache_size',
]

test('no pragma is set on a connection that was handed in', (t) => {
  const path = join(temporaryFolder(t), 'own.db')
  const connection = new DatabaseSync(path, { timeout: 1234 })
  connection.exec('PRAGMA foreign_keys = 0')
  connection.exec('PRAGMA synchronous = OFF')
  const read = () =>
    PRAGMAS.map((name) => Object.values(connection.prepare(`PRAGMA ${name}`).get() ?? {}))
  const before = read()
  const db = SqliteBackend.fromConnection(connection)
  WriterLog.ensureSchema(db)
  db.snapshot(() => 1)
  assert.deepEqual(read(), before)
  assert.equal(db.journalMode, 'delete')
  connection.close()
})

test('a connection that its owner made read-only stays so after a snapshot', () => {
  const connection = new DatabaseSync(':memory:')
  connection.exec('PRAGMA query_only = 1')
  const db = SqliteBackend.fromConnection(connection)
  db.snapshot(() => 1)
  assert.deepEqual(db.query('PRAGMA query_only'), [[1n]])
  connection.close()
})

test('what is asked for is set on it, and nothing else', (t) => {
  const path = join(temporaryFolder(t), 'own.db')
  const connection = new DatabaseSync(path)
  const db = SqliteBackend.fromConnection(connection, { busyTimeoutMs: 77, durability: 'normal' })
  assert.deepEqual(db.query('PRAGMA busy_timeout'), [[77n]])
  assert.deepEqual(db.query('PRAGMA synchronous'), [[1n]])
  assert.equal(db.journalMode, 'delete')
  connection.close()
})

test('full durability is EXTRA with a rollback journal and FULL with WAL', (t) => {
  const connection = new DatabaseSync(join(temporaryFolder(t), 'own.db'), { timeout: 100 })
  const level = () =>
    SqliteBackend.fromConnection(connection, { durability: 'full' }).query(
      'PRAGMA synchronous',
    )[0]?.[0]
  assert.equal(level(), 3n)
  connection.exec('PRAGMA journal_mode = WAL')
  assert.equal(level(), 2n)
  connection.close()
})

test('a connection to a file without a busy timeout is reported, one with it or in memory is not', async (t) => {
  const folder = temporaryFolder(t)
  const all = warningCodes(t)
  // A test before this one has a connection that does not flush, on purpose.
  const codes = async () => (await all()).filter((code) => code !== 'AGENT_STORE_NOT_SYNCHRONOUS')
  const silent = new DatabaseSync(join(folder, 'a.db'), { timeout: 100 })
  SqliteBackend.fromConnection(silent)
  const memory = new DatabaseSync(':memory:')
  SqliteBackend.fromConnection(memory)
  const asked = new DatabaseSync(join(folder, 'b.db'))
  SqliteBackend.fromConnection(asked, { busyTimeoutMs: 100 })
  assert.deepEqual(await codes(), [])
  const bare = new DatabaseSync(join(folder, 'c.db'))
  SqliteBackend.fromConnection(bare)
  assert.deepEqual(await codes(), ['AGENT_STORE_NO_BUSY_TIMEOUT'])
  for (const connection of [silent, memory, asked, bare]) connection.close()
})

test('options out of range are refused before anything is opened', () => {
  const memory = new DatabaseSync(':memory:')
  for (const busyTimeoutMs of [-1, 0.5, Number.NaN, 2 ** 31]) {
    assert.throws(() => SqliteBackend.open('/nowhere/x.db', { busyTimeoutMs }), RangeError)
    assert.throws(() => SqliteBackend.fromConnection(memory, { busyTimeoutMs }), RangeError)
  }
  assert.throws(
    () => SqliteBackend.open('/nowhere/x.db', { busyTimeoutMs: '5' as never }),
    TypeError,
  )
  assert.throws(
    () => SqliteBackend.open('/nowhere/x.db', { durability: 'off' as never }),
    RangeError,
  )
  assert.throws(
    () => SqliteBackend.fromConnection(memory, { durability: 'off' as never }),
    RangeError,
  )
  memory.close()
})

test('a file is opened in WAL mode, fully durable, with five seconds of patience', (t) => {
  using db = SqliteBackend.open(join(temporaryFolder(t), 'fleet.db'))
  assert.equal(db.journalMode, 'wal')
  assert.deepEqual(db.query('PRAGMA synchronous'), [[2n]])
  // Until the raw connection is asked for, the waiting is the backend's own.
  assert.deepEqual(db.connection.prepare('PRAGMA busy_timeout').get()?.timeout, 5_000)
})

test('durability normal is synchronous=NORMAL, and asked for', (t) => {
  using db = SqliteBackend.open(join(temporaryFolder(t), 'fleet.db'), { durability: 'normal' })
  assert.equal(db.journalMode, 'wal')
  assert.deepEqual(db.query('PRAGMA synchronous'), [[1n]])
})

test('a file keeps what was written, by path or by URL', (t) => {
  const path = join(temporaryFolder(t), 'fleet ü#1.db')
  {
    using db = SqliteBackend.open(path)
    WriterLog.ensureSchema(db)
    WriterLog.append(db, 's', 'w', 'kept')
    assert.equal(db.path, path)
  }
  for (const again of [pathToFileURL(path), pathToFileURL(path).href]) {
    using db = SqliteBackend.open(again)
    assert.equal(db.path, path)
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1n)
  }
})

test('a second writer waits as long as it was told and then says that it is busy', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  WriterLog.ensureSchema(one)
  WriterLog.append(one, 's', 'w', 'one')
  using two = SqliteBackend.open(path, { busyTimeoutMs: 50 })
  one.transaction(() => {
    WriterLog.append(one, 's', 'w', 'two')
    const calls: readonly (() => unknown)[] = [
      () => WriterLog.append(two, 's', 'w', 'other'),
      () => WriterLog.append(two, 's', 'other', 'other'),
      () => two.transaction(() => assert.fail('it has the lock')),
      () =>
        two.exec("INSERT INTO _agent_store_log SELECT * FROM _agent_store_log WHERE stream = 'x'"),
    ]
    for (const call of calls) {
      const start = performance.now()
      assert.throws(call, (error) => {
        assert.ok(error instanceof BusyError)
        assert.ok(error.cause instanceof Error)
        return true
      })
      assert.ok(performance.now() - start >= 40, 'it waited')
    }
    assert.equal(WriterLog.head(two, 's', 'w')?.seq, 1n, 'readers do not wait')
  })
  assert.equal(WriterLog.append(two, 's', 'w', 'three').seq, 3n)
  assert.equal(WriterLog.verify(one, 's', 'w')?.seq, 3n)
})

test("two connections may be at different places: each sees commits, not the other's work", (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  one.exec('CREATE TABLE t (a)')
  using two = SqliteBackend.open(path)
  one.transaction(() => {
    one.exec('INSERT INTO t VALUES (1)')
    assert.deepEqual(two.query('SELECT count(*) FROM t'), [[0n]])
  })
  assert.deepEqual(two.query('SELECT count(*) FROM t'), [[1n]])
})

test('writing behind an open iteration that others have overtaken fails at once, and says why', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using db = SqliteBackend.open(path)
  using other = SqliteBackend.open(path)
  db.exec('CREATE TABLE t (a)')
  db.exec('INSERT INTO t VALUES (1), (2)')
  const rows = db.iterate('SELECT a FROM t')
  rows.next()
  other.exec('INSERT INTO t VALUES (3)')
  const started = performance.now()
  assert.throws(
    () => db.exec('INSERT INTO t VALUES (4)'),
    /holds an older state; finish it before writing/,
  )
  assert.ok(performance.now() - started < 2_000, 'it does not wait for what cannot come')
  rows.return?.()
  assert.equal(db.exec('INSERT INTO t VALUES (4)'), 1)
})
