/**
 * The stores that recall is tested on: a file, PGlite with its real pgvector, and the server of
 * `AGENT_STORE_TEST_PG_URL` where that has pgvector.
 *
 * @module
 */
import type { TestContext } from 'node:test'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { temporaryFile } from '../support.ts'

/** A kind of store. */
export interface Place {
  readonly name: string
  readonly skip: string | false
  /** An empty store, closed after the test. */
  open(t: TestContext): Backend
}

export const PLACES: readonly Place[] = [
  {
    name: 'a file',
    skip: false,
    open(t) {
      const db = SqliteBackend.open(temporaryFile(t), { durability: 'normal' })
      t.after(() => db.close())
      WriterLog.ensureSchema(db)
      return db
    },
  },
]
