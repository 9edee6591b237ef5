// Emmett's SQLite event store: one stream, one JSON event per payload, on the `sqlite3` driver.
// The default opens a new connection for every call; `singleton` keeps one open, which is its best.

import { join } from 'node:path'
import {
  getSQLiteEventStore,
  type SQLiteConnection,
  type SQLiteEventStore,
  sqliteConnection,
} from '@event-driven-io/emmett-sqlite'
import { type Peer, type Synchronous, toBase64, versionOf } from './peer.ts'

const STREAM = 'bench-1'

// One INSERT binds ten values an event, and this SQLite takes 32,766 in a statement.
const EVENTS_PER_COMMIT = 1000

export interface EmmettSqliteOptions {
  /** One connection kept open in place of one per call. */
  readonly singleton?: boolean
  /** Only with `singleton`; FULL is what Emmett runs at when nothing is said. */
  readonly synchronous?: Synchronous
}

export function emmettSqlite(options: EmmettSqliteOptions = {}): Peer {
  const { singleton = false, synchronous = 'FULL' } = options
  if (synchronous !== 'FULL' && !singleton) throw new Error('the default pool is always FULL')
  let connection: SQLiteConnection | undefined
  let store: SQLiteEventStore

  async function append(payloads: Uint8Array[]): Promise<void> {
    const events = payloads.map((p) => ({ type: 'Appended', data: { payload: toBase64(p) } }))
    await store.appendToStream(STREAM, events)
  }

  return {
    name:
      `emmett-sqlite ${versionOf('@event-driven-io/emmett-sqlite')} ` +
      `(${singleton ? 'one connection' : 'default pool'}, ${synchronous})`,
    durability:
      synchronous === 'FULL'
        ? 'WAL, synchronous=FULL: fsync of the WAL in every commit'
        : 'WAL, synchronous=NORMAL: in the WAL, flushed at the next checkpoint only',

    async open(dir) {
      const fileName = join(dir, 'emmett.sqlite')
      if (singleton) {
        connection = sqliteConnection({ fileName })
        await connection.command(`PRAGMA synchronous = ${synchronous}`)
        store = getSQLiteEventStore({
          fileName,
          connectionOptions: { singleton: true, connection },
        })
      } else {
        store = getSQLiteEventStore({ fileName })
      }
      await store.readStream(STREAM) // creates the schema
    },

    append: (payload) => append([payload]),

    async appendMany(payloads) {
      for (let at = 0; at < payloads.length; at += EVENTS_PER_COMMIT) {
        await append(payloads.slice(at, at + EVENTS_PER_COMMIT))
      }
    },

    async readAll() {
      return (await store.readStream(STREAM)).events.length
    },

    async close() {
      connection?.close()
      connection = undefined
    },
  }
}
