/** What has changed since the last look: named where that is certain, and never missed. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { SqliteBackend, WriterLog } from 'agent-store'
import { Changes } from '../../src/follow/changes.ts'
import { temporaryFile, utf8 } from '../support.ts'

/** A file with one entry, somebody who looks at it, and somebody else who writes. */
function looked(t: TestContext): { changes: Changes; other: SqliteBackend } {
  const file = temporaryFile(t)
  const [db, other] = [SqliteBackend.open(file), SqliteBackend.open(file)]
  t.after(() => {
    db.close()
    other.close()
  })
  WriterLog.ensureSchema(other)
  WriterLog.append(other, 's', 'a', 'one')
  const changes = new Changes(db)
  assert.equal(changes.look(), undefined)
  assert.deepEqual(changes.look(), [])
  return { changes, other }
}

test('logs that have grown are named, with how far they reach', (t) => {
  const { changes, other } = looked(t)
  WriterLog.appendMany(other, 's', 'a', ['two', 'three'])
  WriterLog.append(other, 's', 'b', 'one')
  assert.deepEqual(changes.look(), [
    { stream: 's', writer: 'a', seq: 3n },
    { stream: 's', writer: 'b', seq: 1n },
  ])
  assert.deepEqual(changes.look(), [])
})

test('a commit without an entry is a change of no log', (t) => {
  const { changes, other } = looked(t)
  other.exec('CREATE TABLE mine (a)')
  assert.deepEqual(changes.look(), [])
})

test('nothing is concluded from a last row that is another one now', (t) => {
  const { changes, other } = looked(t)
  other.transaction(() => {
    other.exec('DELETE FROM _agent_store_log')
    WriterLog.append(other, 's', 'b', 'in its place')
    WriterLog.append(other, 's', 'b', 'behind it')
  })
  assert.equal(changes.look(), undefined)
  WriterLog.append(other, 's', 'b', 'three')
  assert.deepEqual(changes.look(), [{ stream: 's', writer: 'b', seq: 3n }])
  other.exec('DELETE FROM _agent_store_log')
  assert.equal(changes.look(), undefined)
})

test('a malformed row may belong to any log', (t) => {
  const hash = new Uint8Array(32)
  for (const [stream, seq] of [
    [utf8('s'), 1n],
    ['t', 1.5],
  ] as const) {
    const { changes, other } = looked(t)
    const row = [stream, 'w', seq, null, hash, utf8('x')]
    other.exec('DROP TABLE _agent_store_log')
    other.exec(
      'CREATE TABLE _agent_store_log (stream, writer, seq, prev_hash, content_hash, payload)',
    )
    const insert = 'INSERT INTO _agent_store_log VALUES (?, ?, ?, ?, ?, ?)'
    other.exec(insert, ['s', 'a', 1n, null, hash, utf8('one')])
    changes.look()
    other.exec(insert, row)
    assert.equal(changes.look(), undefined)
  }
})

test('what was forgotten is looked at anew', (t) => {
  const { changes, other } = looked(t)
  WriterLog.append(other, 's', 'a', 'two')
  changes.forget()
  assert.equal(changes.look(), undefined)
})

test('a row behind which no rowid is larger makes nobody deaf', (t) => {
  const { changes, other } = looked(t)
  const row = ['zz', 'zz', 1n, null, new Uint8Array(32), utf8('x')]
  const columns = 'rowid, stream, writer, seq, prev_hash, content_hash, payload'
  other.exec(
    `INSERT INTO _agent_store_log (${columns}) VALUES (${2n ** 63n - 1n}, ?, ?, ?, ?, ?, ?)`,
    row,
  )
  assert.equal(changes.look(), undefined)
  for (let i = 0; i < 3; i++) {
    WriterLog.append(other, 's', 'a', 'x')
    // SQLite gives out rowids by chance from now on: any log may have grown.
    assert.equal(changes.look(), undefined)
    assert.deepEqual(changes.look(), [], 'nothing was committed since')
  }
})
