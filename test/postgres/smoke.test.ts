/**
 * The Postgres backend in short: what a runtime other than Node has to give for it (a worker that
 * runs while this thread waits on shared memory, ports, sockets, hashes).
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeadlineError, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from './database.ts'
import { withoutDatabase } from './server.ts'

const skip = withoutDatabase()

test('two connections append, verify, iterate, listen and close', { skip }, async (t) => {
  const place = emptyPlace(t)
  using db = PgBackend.connect(place)
  using other = PgBackend.connect(place)
  const heard = new Promise<string>((resolve) => {
    db.listen('smoke', { notification: ({ payload }) => resolve(payload) })
  })
  db.keepAlive(true)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', Uint8Array.of(1, 0, 255))
  WriterLog.appendMany(other, 's', 'w', Array(1000).fill(new Uint8Array(300)))
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1001n)
  const numbers = db.iterate('SELECT n FROM generate_series(1, 2000) AS n')
  assert.equal(Array.from(numbers).length, 2000)
  const large = new Uint8Array(1_000_000).fill(254)
  assert.deepEqual(other.query('SELECT ?::bytea, NULL, 1.5::float8', [large]), [[large, null, 1.5]])
  other.query("SELECT pg_notify('smoke', 'rung')")
  assert.equal(await heard, 'rung')
  other.close()
  assert.deepEqual(db.query('SELECT 1::bigint'), [[1n]])
  db.close()
})

test('a wait ends at its deadline, and leaves the other connections', { skip }, (t) => {
  const place = emptyPlace(t)
  using other = PgBackend.connect(place)
  using db = PgBackend.connect({ ...place, deadlineMs: 200 })
  assert.throws(() => db.query('SELECT pg_sleep(60)'), DeadlineError)
  assert.deepEqual(other.query('SELECT 1::bigint'), [[1n]])
})
