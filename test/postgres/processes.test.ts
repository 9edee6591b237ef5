/**
 * Many processes, one server: what the contention tests ask of a file.
 *
 * `npm test` takes a small sample on one server. The full measure is `npm run test:long`:
 * every installed major version (`PG_ALL=1`), flushing each commit, with 16 processes and the
 * counts of SQLite.
 *
 * @module
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { bump, contend, kill, openAtOnce } from '../processes/contention.ts'
import { startWorker } from '../processes/start.ts'
import { createTables } from '../processes/store.ts'
import { STREAM } from '../processes/worker.ts'
import { emptyPlace, servers } from './database.ts'
import { waitUntil } from './process-table.ts'
import { withoutDatabase } from './server.ts'

const APPENDS = Number(process.env.CONTENTION_APPENDS ?? 40)
const KILLS = Number(process.env.KILLS ?? 8)
const PROCESSES = Number(process.env.CONTENTION_PROCESSES ?? 8)
/** Somebody waits for us. */
const WAITING =
  'SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))'

for (const { name, url } of servers()) {
  suite(name, { skip: withoutDatabase() }, () => {
    for (const writers of ['one writer', 'own writers'] as const) {
      test(`${PROCESSES} processes, ${APPENDS} appends each, ${writers}`, (t) =>
        contend({ postgres: emptyPlace(t, url()) }, 'processes', PROCESSES, APPENDS, writers))

      test(`4 threads, ${2 * APPENDS} appends each, ${writers}`, (t) =>
        contend({ postgres: emptyPlace(t, url()) }, 'threads', 4, 2 * APPENDS, writers))
    }

    test(`8 processes, ${2 * APPENDS} bumps each: every value is given out once`, (t) =>
      bump({ postgres: emptyPlace(t, url()) }, 2 * APPENDS))

    test('8 processes that create the same tables at the same moment', (t) =>
      openAtOnce({ postgres: emptyPlace(t, url()) }))

    test('a process that creates tables while another is about to have created them', async (t) => {
      const postgres = emptyPlace(t, url())
      using db = PgBackend.connect(postgres)
      const task = { kind: 'first-open', store: { postgres }, writer: 'second', count: 1 } as const
      const worker = startWorker(task)
      await worker.lines(1)
      db.transaction(() => {
        createTables(db)
        worker.go()
        waitUntil('it waits', () => db.query(WAITING).length > 0)
      })
      assert.equal((await worker.end).failure, undefined)
      assert.equal(WriterLog.head(db, STREAM, 'second')?.seq, 1n)
    })

    test(`${KILLS} SIGKILLs over 4 writing processes: nothing acknowledged is lost`, async (t) => {
      t.diagnostic(await kill({ postgres: emptyPlace(t, url()) }, KILLS))
    })
  })
}
