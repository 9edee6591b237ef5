/**
 * Stored text that is not UTF-8 is a malformed row; a U+FFFD that somebody wrote is text.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { MalformedRowError, SqliteBackend, type SqliteConnection, WriterLog } from 'agent-store'
import Database from 'better-sqlite3'
import { decodeText } from '../../src/shared/stored-text.ts'

const INVALID = ['ff', '61ff62', 'c0af', 'eda080', 'f4908080', 'e282', '80', 'c3']

function onBothDrivers(name: string, run: (db: SqliteBackend) => void): void {
  const drivers = { 'node:sqlite': DatabaseSync, 'better-sqlite3': Database }
  for (const [driver, Connection] of Object.entries(drivers)) {
    test(`${driver}: ${name}`, () => {
      const connection = new Connection(':memory:')
      try {
        run(SqliteBackend.fromConnection(connection as SqliteConnection))
      } finally {
        connection.close()
      }
    })
  }
}

onBothDrivers('query refuses every kind of invalid UTF-8', (db) => {
  for (const hex of INVALID) {
    assert.throws(() => db.query(`SELECT CAST(x'${hex}' AS TEXT)`), MalformedRowError, hex)
  }
})

onBothDrivers('iterate refuses it at the row, and gives the rows before', (db) => {
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
  db.exec(
    "INSERT INTO t VALUES (1, 'fine'), (2, char(65533)), (3, CAST(x'ff' AS TEXT)), (4, 'fine')",
  )
  const rows = db.iterate('SELECT id, a FROM t WHERE id > ? ORDER BY id', [0n])
  assert.deepEqual(rows.next().value, [1n, 'fine'])
  assert.deepEqual(rows.next().value, [2n, '\ufffd'])
  assert.throws(() => rows.next(), MalformedRowError)
  assert.equal(rows.next().done, true)
  db.exec('DROP TABLE t')
})

onBothDrivers('U+FFFD that was written is text', (db) => {
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
  for (const text of ['\ufffd', 'a\ufffdb', 'plain'])
    db.exec('INSERT INTO t (a) VALUES (?)', [text])
  const expected = [['\ufffd'], ['a\ufffdb'], ['plain']]
  assert.deepEqual(db.query('SELECT a FROM t ORDER BY id'), expected)
  assert.deepEqual([...db.iterate('SELECT a FROM t ORDER BY id;')], expected)
  assert.deepEqual(db.query('SELECT ?', ['\ufffd']), [['\ufffd']])
})

onBothDrivers('one bad cell among good ones is found, whichever row and column', (db) => {
  db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)')
  for (let i = 0; i < 20; i++) db.exec('INSERT INTO t (a, b) VALUES (?, ?)', ['\ufffd', 'x'])
  assert.equal(db.query('SELECT a, b FROM t').length, 20)
  db.exec("UPDATE t SET b = CAST(x'fe' AS TEXT) WHERE id = 17")
  assert.throws(() => db.query('SELECT id, a, b FROM t'), MalformedRowError)
  assert.throws(() => db.query('SELECT b FROM t -- trailing comment'), MalformedRowError)
  assert.throws(() => db.query('SELECT b FROM t;'), MalformedRowError)
  assert.throws(() => db.query('WITH q AS (SELECT b FROM t) SELECT b FROM q'), MalformedRowError)
  assert.throws(() => db.query('-- leading\nSELECT b FROM t'), MalformedRowError)
  assert.throws(() => db.query('SELECT b AS "update" FROM t'), MalformedRowError)
  assert.equal(db.query('SELECT id, a FROM t').length, 20)
})

onBothDrivers('a name of a log that is not UTF-8 is refused by streams and writers', (db) => {
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 'good\ufffd', 'good\ufffd', 'x')
  assert.deepEqual(WriterLog.streams(db), ['good\ufffd'])
  assert.deepEqual(WriterLog.writers(db, 'good\ufffd'), ['good\ufffd'])
  db.exec(
    "INSERT INTO _agent_store_log SELECT stream, CAST(x'ff' AS TEXT), seq, prev_hash, content_hash, payload FROM _agent_store_log",
  )
  assert.throws(() => WriterLog.writers(db, 'good\ufffd'), MalformedRowError)
  assert.throws(() => WriterLog.heads(db, 'good\ufffd'), MalformedRowError)
  assert.throws(() => WriterLog.verifyStream(db, 'good\ufffd'), MalformedRowError)
  db.exec(
    "UPDATE _agent_store_log SET stream = CAST(x'67ff' AS TEXT), writer = 'w' WHERE CAST(writer AS BLOB) = x'ff'",
  )
  assert.throws(() => WriterLog.streams(db), MalformedRowError)
  assert.throws(() => WriterLog.streams(db, { prefix: 'g' }), MalformedRowError)
  assert.throws(() => WriterLog.verifyAll(db), MalformedRowError)
  assert.deepEqual(WriterLog.streams(db, { prefix: 'good' }), ['good\ufffd'])
})

test('decodeText keeps a byte order mark and all that is valid', () => {
  for (const text of ['', 'a', '\ufeffa', '🦀', '\ufffd']) {
    assert.equal(decodeText(new TextEncoder().encode(text)), text)
  }
  for (const hex of INVALID) {
    assert.throws(() => decodeText(Buffer.from(hex, 'hex')), MalformedRowError, hex)
  }
})
