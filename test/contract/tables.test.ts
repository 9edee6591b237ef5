/**
 * The two tables, and that nothing else may pass for one of them.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import test from 'node:test'
import { Generation, SchemaError, SqliteBackend, WriterLog } from 'agent-store'
import { isTable, LOG, META } from '../../src/contract/tables.ts'

const ensure = (db: SqliteBackend) => {
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
}
const schema = (db: SqliteBackend) =>
  db
    .query("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .map(([name, sql]) => `${name}: ${sql}`)

test('the tables are those of the crate, to the letter', () => {
  using db = SqliteBackend.inMemory()
  ensure(db)
  assert.deepEqual(schema(db), [
    '_agent_store_log: CREATE TABLE _agent_store_log (stream TEXT NOT NULL, writer TEXT NOT NULL, ' +
      'seq INTEGER NOT NULL, prev_hash BLOB, content_hash BLOB NOT NULL, payload BLOB NOT NULL, ' +
      'PRIMARY KEY (stream, writer, seq))',
    '_agent_store_meta: CREATE TABLE _agent_store_meta (key TEXT PRIMARY KEY, ival INTEGER NOT NULL)',
  ])
  assert.equal(db.query('PRAGMA user_version')[0]?.[0], 0n)
})

test('ensuring again changes nothing and keeps what is there', () => {
  using db = SqliteBackend.inMemory()
  ensure(db)
  new Generation('k').bump(db)
  const before = schema(db)
  ensure(db)
  assert.deepEqual(schema(db), before)
  assert.equal(new Generation('k').current(db), 1n)
})

test('a table that is there is not written to: a reader may ensure it', () => {
  using db = SqliteBackend.inMemory()
  ensure(db)
  db.exec('PRAGMA query_only = 1')
  assert.doesNotThrow(() => ensure(db))
})

test('a table is there or not', () => {
  using db = SqliteBackend.inMemory()
  assert.equal(isTable(db, LOG), false)
  WriterLog.ensureSchema(db)
  assert.equal(isTable(db, LOG), true)
  assert.equal(isTable(db, META), false)
})

test('further columns do not disturb', () => {
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE _agent_store_meta (key TEXT PRIMARY KEY, ival INTEGER NOT NULL, note TEXT)')
  Generation.ensureSchema(db)
  assert.equal(new Generation('k').bump(db), 1n)
})

const COLUMNS =
  'stream TEXT NOT NULL, writer TEXT NOT NULL, seq INTEGER NOT NULL, prev_hash BLOB, content_hash BLOB NOT NULL'
const WRONG_LOGS: readonly (readonly [string, string, RegExp])[] = [
  ['other columns', 'CREATE TABLE _agent_store_log (id INTEGER)', /lacks "stream TEXT NOT NULL/],
  [
    'a missing column',
    `CREATE TABLE _agent_store_log (${COLUMNS}, PRIMARY KEY (stream, writer, seq))`,
    /lacks "payload BLOB NOT NULL"/,
  ],
  [
    'a payload of text',
    `CREATE TABLE _agent_store_log (${COLUMNS}, payload TEXT NOT NULL, PRIMARY KEY (stream, writer, seq))`,
    /lacks "payload BLOB NOT NULL"/,
  ],
  [
    'no primary key',
    `CREATE TABLE _agent_store_log (${COLUMNS}, payload BLOB NOT NULL)`,
    /PRIMARY KEY 1/,
  ],
  [
    'the primary key in another order',
    `CREATE TABLE _agent_store_log (${COLUMNS}, payload BLOB NOT NULL, PRIMARY KEY (writer, stream, seq))`,
    /PRIMARY KEY 1/,
  ],
]
for (const [name, sql, message] of WRONG_LOGS) {
  test(`a log with ${name} is refused and left alone`, () => {
    using db = SqliteBackend.inMemory()
    db.exec(sql)
    const before = schema(db)
    assert.throws(
      () => WriterLog.ensureSchema(db),
      (error) => error instanceof SchemaError && message.test(error.message),
    )
    assert.deepEqual(schema(db), before)
  })
}

test('a counter table of other columns is refused', () => {
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE _agent_store_meta (key TEXT, ival INTEGER NOT NULL)')
  assert.throws(() => Generation.ensureSchema(db), SchemaError)
})

test('a view of that name is refused', () => {
  using db = SqliteBackend.inMemory()
  db.exec(
    "CREATE VIEW _agent_store_log AS SELECT 's' AS stream, 'w' AS writer, 1 AS seq, NULL AS prev_hash, x'' AS content_hash, x'' AS payload",
  )
  db.exec("CREATE VIEW _agent_store_meta AS SELECT 'k' AS key, 1 AS ival")
  assert.throws(() => WriterLog.ensureSchema(db), SchemaError)
  assert.throws(() => Generation.ensureSchema(db), SchemaError)
})
