/**
 * The store on a server does what the model does. `PG_MODEL_RUNS` sets how many histories are
 * tried; each costs some hundred round trips and a few connections.
 */
import { test } from 'node:test'
import { PgBackend } from 'agent-store/postgres'
import { checkHistories } from '../histories.ts'
import { createTables } from '../processes/store.ts'
import { emptyPlace, servers } from './database.ts'
import { withoutDatabase } from './server.ts'

const RUNS = Number(process.env.PG_MODEL_RUNS ?? 20)

for (const { name, url } of servers()) {
  const skip = withoutDatabase()
  test(`${name} does what the model does, in ${RUNS} random histories`, { skip }, (t) => {
    const place = emptyPlace(t, url())
    const open = () => PgBackend.connect(place)
    using admin = open()
    createTables(admin)
    const remove = () => void admin.exec('TRUNCATE _agent_store_log, _agent_store_meta')
    checkHistories(RUNS, () => ({ open, remove }))
  })
}
