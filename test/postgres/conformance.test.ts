/** A PostgreSQL server passes the suite that SQLite passes. */
import { test } from 'node:test'
import { PgBackend } from 'agent-store/postgres'
import { type Ability, conformanceCases } from 'agent-store/testing'
import { emptyPlace } from './database.ts'
import { withoutDatabase } from './server.ts'

// Outside of a transaction an iteration is one by itself; columns have the type they declare.
const abilities: readonly Ability[] = ['connections']

for (const { name, needs, run } of conformanceCases) {
  const missing = needs.filter((ability) => !abilities.includes(ability))
  const skip = withoutDatabase() || (missing.length > 0 && `it declares no ${missing.join(', ')}`)
  test(`a server ${name}`, { skip }, (t) => {
    const place = emptyPlace(t)
    run(() => PgBackend.connect(place))
  })
}
