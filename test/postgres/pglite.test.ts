/** PGlite, in this process: the same codec and the same suite, without a server. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { Generation, WriterLog } from 'agent-store'
import { PgBackend, type PgliteOptions, ServerError } from 'agent-store/postgres'
import { type Ability, conformanceCases } from 'agent-store/testing'

const pglite = await PGlite.create()
after(() => pglite.closed || pglite.close())

// One session, so there is no second connection.
const abilities: readonly Ability[] = []
let places = 0

/** A backend that sees nothing but a new schema. */
function emptyPlace(): PgBackend {
  const schema = `case_${++places}`
  using admin = PgBackend.onPglite(pglite, { durability: 'none' })
  admin.exec(`CREATE SCHEMA ${schema}`)
  admin.close()
  const db = PgBackend.onPglite(pglite, { durability: 'none' })
  db.query("SELECT set_config('search_path', ?, false)", [schema])
  return db
}

for (const { name, needs, run } of conformanceCases) {
  const missing = needs.filter((ability) => !abilities.includes(ability))
  const skip = missing.length > 0 && `it declares no ${missing.join(', ')}`
  test(`PGlite ${name}`, { skip }, () => run(emptyPlace))
}

test('PGlite is not used by somebody who believes it durable', () => {
  const options = {} as PgliteOptions
  assert.throws(() => PgBackend.onPglite(pglite, options), { code: 'STORE_POLICY' })
})

test('PGlite has one backend at a time, and is open again after it', () => {
  const db = PgBackend.onPglite(pglite, { durability: 'none' })
  assert.throws(() => PgBackend.onPglite(pglite, { durability: 'none' }), /has a backend already/)
  db.close()
  PgBackend.onPglite(pglite, { durability: 'none' }).close()
})

test('PGlite keeps the SQLSTATE of an error, and goes on', () => {
  using db = PgBackend.onPglite(pglite, { durability: 'none' })
  assert.throws(
    () => db.exec('INSERT INTO nowhere VALUES (1)'),
    (error: unknown) =>
      error instanceof Error &&
      error.cause instanceof ServerError &&
      error.cause.sqlState === '42P01',
  )
  assert.deepEqual(db.query('SELECT 1'), [[1n]])
})

test('a large payload goes through PGlite in both directions', () => {
  using db = emptyPlace()
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
  const payload = new Uint8Array(20 * 1024 * 1024).fill(7)
  WriterLog.append(db, 's', 'w', payload)
  assert.equal(
    Buffer.compare(WriterLog.head(db, 's', 'w')?.payload ?? payload.subarray(1), payload),
    0,
  )
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1n)
})

// The last one, as there is one PGlite for all.
test('a PGlite that is closed under its backend is an error, and is not taken again', async () => {
  using db = PgBackend.onPglite(pglite, { durability: 'none' })
  await pglite.close()
  assert.throws(() => db.query('SELECT 1'), {
    code: 'STORE_CONNECTION',
    message: /this PGlite is closed/,
  })
  db.close()
  assert.throws(() => PgBackend.onPglite(pglite, { durability: 'none' }), {
    code: 'STORE_POLICY',
    message: /this PGlite is not open/,
  })
})
