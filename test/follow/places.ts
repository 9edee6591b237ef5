/**
 * The stores that following is tested on: a file, a server that tells of its commits, and one
 * that tells nothing, where followers look by themselves.
 *
 * @module
 */
import type { TestContext } from 'node:test'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { Consumer } from 'agent-store/follow'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from '../postgres/database.ts'
import { withoutDatabase } from '../postgres/server.ts'
import type { Store } from '../processes/store.ts'
import { temporaryFile } from '../support.ts'

/** A kind of store. */
export interface Place {
  readonly name: string
  readonly skip: string | false
  /** An empty one, and how to open it from elsewhere. */
  create(t: TestContext): { store: Store; open: () => Backend }
}

function withTables(t: TestContext, store: Store, open: () => Backend) {
  const opened = () => {
    const db = open()
    t.after(() => db.close())
    return db
  }
  const db = opened()
  WriterLog.ensureSchema(db)
  Consumer.ensureSchema(db)
  return { store, open: opened }
}

function postgres(name: string, notify: boolean): Place {
  return {
    name,
    skip: withoutDatabase(),
    create(t) {
      const options = { ...emptyPlace(t), notify }
      return withTables(t, { postgres: options }, () => PgBackend.connect(options))
    },
  }
}

export const PLACES: readonly Place[] = [
  {
    name: 'a file',
    skip: false,
    create(t) {
      const file = temporaryFile(t)
      const options = { durability: 'normal' } as const
      return withTables(t, { file, options }, () => SqliteBackend.open(file, options))
    },
  },
  postgres('a server that notifies', true),
  postgres('a server that does not', false),
]
