/** A cursor that is kept in the store, and moves with its consumer's rows or not at all. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { MalformedRowError, SchemaError, SqliteBackend, WriterLog } from 'agent-store'
import { Consumer, StaleCursorError } from 'agent-store/follow'
import { PgBackend } from 'agent-store/postgres'
import { MIGRATIONS } from '../../src/postgres/migrations.ts'
import { emptyPlace } from '../postgres/database.ts'
import { withoutDatabase } from '../postgres/server.ts'
import { defined } from '../support.ts'
import { PLACES } from './places.ts'

const billing = new Consumer('billing')
const seqs = (consumer: Consumer, db: Parameters<Consumer['cursor']>[0]) =>
  consumer.cursor(db).map(({ stream, writer, seq }) => `${stream} ${writer} ${seq}`)

for (const place of PLACES.slice(0, 2)) {
  suite(place.name, { skip: place.skip }, () => {
    test('starts nowhere, moves entry by entry, and each consumer by itself', (t) => {
      const db = place.create(t).open()
      const [one, two] = WriterLog.appendMany(db, 's', 'a', ['one', 'two'])
      const other = WriterLog.append(db, 's', 'b', 'one')
      assert.deepEqual(billing.cursor(db), [])
      billing.advance(db, defined(one))
      billing.advance(db, other)
      billing.advance(db, defined(two))
      assert.deepEqual(seqs(billing, db), ['s a 2', 's b 1'])
      assert.deepEqual(billing.cursor(db), WriterLog.heads(db, 's'))
      assert.deepEqual(new Consumer('other').cursor(db), [])
    })

    test('does not move from where it is not: back, twice, or past an entry', (t) => {
      const db = place.create(t).open()
      const entries = WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
      const [one, two, three] = entries.map(defined)
      assert.ok(one !== undefined && two !== undefined && three !== undefined)
      assert.throws(() => billing.advance(db, two), StaleCursorError)
      billing.advance(db, one)
      assert.throws(() => billing.advance(db, one), {
        code: 'STORE_STALE_CURSOR',
        consumer: 'billing',
        expected: null,
        message: /is not at seq 0 of stream "s" writer "a"; another process has moved it/,
      })
      assert.throws(() => billing.advance(db, three), StaleCursorError)
      billing.advance(db, three, one)
      assert.throws(() => billing.advance(db, two), StaleCursorError)
      const fork = { ...three, seq: 4n, prevHash: one.contentHash }
      assert.throws(() => billing.advance(db, fork), StaleCursorError)
      assert.deepEqual(seqs(billing, db), ['s a 3'])
    })

    test('moves with the transaction, or not at all', (t) => {
      const db = place.create(t).open()
      const one = WriterLog.append(db, 's', 'a', 'one')
      const undone = () =>
        db.transaction(() => {
          billing.advance(db, one)
          throw new Error('no')
        })
      assert.throws(undone, /no/)
      assert.deepEqual(billing.cursor(db), [])
    })

    test('reset puts it somewhere else, all or none', (t) => {
      const db = place.create(t).open()
      WriterLog.append(db, 's', 'a', 'one')
      WriterLog.append(db, 't', 'b', 'one')
      const heads = [...WriterLog.heads(db, 's'), ...WriterLog.heads(db, 't')]
      billing.reset(db, heads)
      assert.deepEqual(billing.cursor(db), heads)
      const broken = [defined(heads[0]), { ...defined(heads[1]), writer: 'a\0b' }]
      assert.throws(() => billing.reset(db, broken), /NUL/)
      assert.deepEqual(billing.cursor(db), heads)
      billing.reset(db, [])
      assert.deepEqual(billing.cursor(db), [])
    })
  })
}

test("the table that an operator lays down is the consumers'", { skip: withoutDatabase() }, (t) => {
  using db = PgBackend.connect(emptyPlace(t))
  for (const { sql } of MIGRATIONS) for (const statement of sql) db.exec(statement)
  Consumer.ensureSchema(db)
  billing.advance(db, WriterLog.append(db, 's', 'a', 'one'))
  assert.deepEqual(billing.cursor(db), WriterLog.heads(db, 's'))
})

test('a name that cannot be stored, a table that is another, a row that no one writes', () => {
  assert.throws(() => new Consumer('a\0b'), /name holds a NUL/)
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE _agent_store_cursor (x)')
  assert.throws(() => Consumer.ensureSchema(db), SchemaError)
  db.exec('DROP TABLE _agent_store_cursor')
  Consumer.ensureSchema(db)
  Consumer.ensureSchema(db)
  db.exec("INSERT INTO _agent_store_cursor VALUES ('billing', 's', 'a', 1, x'00')")
  assert.throws(() => billing.cursor(db), MalformedRowError)
})
