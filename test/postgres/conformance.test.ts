/** A PostgreSQL server passes the suite that SQLite passes. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Generation } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { type Ability, conformanceCases } from 'agent-store/testing'
import { emptyPlace } from './database.ts'
import { withoutDatabase } from './server.ts'

// Outside of a transaction an iteration is one by itself; columns have the type they declare.
const abilities: readonly Ability[] = ['connections']

test('a fence at 0 on a server holds off the first bump', { skip: withoutDatabase() }, (t) => {
  const place = emptyPlace(t)
  using db = PgBackend.connect(place)
  using other = PgBackend.connect(place)
  Generation.ensureSchema(db)
  const lease = new Generation('lease')
  other.exec("SET lock_timeout = '50ms'")
  db.transaction(() => {
    lease.fence(db, 0n)
    assert.throws(() => lease.bump(other), { driverCode: '55P03' })
  })
  assert.equal(lease.bump(other), 1n)
})

for (const { name, needs, run } of conformanceCases) {
  const missing = needs.filter((ability) => !abilities.includes(ability))
  const skip = withoutDatabase() || (missing.length > 0 && `it declares no ${missing.join(', ')}`)
  test(`a server ${name}`, { skip }, (t) => {
    const place = emptyPlace(t)
    run(() => PgBackend.connect(place))
  })
}
