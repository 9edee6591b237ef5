/**
 * Opening the store that a command names: what exists, for reading; or, for writing,
 * with its tables laid down.
 *
 * @module
 */

import { isTable, LOG, META } from '#shared'
import { type Backend, Generation, SchemaError, SqliteBackend, WriterLog } from '../index.ts'
import { isServerUrl, openStore, PgBackend, type PgOptions } from '../postgres/index.ts'

/**
 * Open an existing store for reading.
 * @throws SchemaError when it has no log.
 */
export function openForReading(
  store: string,
  { reconnect = false }: Pick<PgOptions, 'reconnect'> = {},
): Backend {
  // A standby will do for reading, unless the URL says what it must be.
  const any = store.includes('target_session_attrs=') ? {} : { targetSessionAttrs: 'any' as const }
  const db = isServerUrl(store)
    ? PgBackend.connect({ url: store, reconnect, ...any })
    : SqliteBackend.open(store, { readOnly: true })
  try {
    if (!isTable(db, LOG) && !isTable(db, META)) {
      throw new SchemaError(
        isServerUrl(store)
          ? 'the database has no tables of agent-store in its search path; run agent-store migrate, or append to it'
          : `${JSON.stringify(store)} is an SQLite database without agent-store's tables; ` +
              'name another file, or append to it to make it a store. If it is a copy of one, its ' +
              '-wal file may have been left behind: copy by `VACUUM INTO` or `agent-store export`',
      )
    }
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Whether the store has counters: a store may have been given only a log. */
export function hasCounters(db: Backend): boolean {
  return isTable(db, META)
}

/** Whether the store has a log: it may have been given only counters. */
export function hasLog(db: Backend): boolean {
  return isTable(db, LOG)
}

/** Say that a log which was asked for is not there: what is shown of it is nothing. */
export function tellIfAbsent(db: Backend, stream: string, writer?: string): void {
  const writers = WriterLog.writers(db, stream)
  if (writers.length === 0)
    console.error(`agent-store: there is no stream ${JSON.stringify(stream)}`)
  else if (writer !== undefined && !writers.includes(writer)) {
    console.error(
      `agent-store: stream ${JSON.stringify(stream)} has no writer ${JSON.stringify(writer)}`,
    )
  }
}

/** Open a store for writing that is there already. @throws as {@link openForReading}. */
export function openExisting(store: string): Backend {
  openForReading(store).close()
  return openForWriting(store)
}

/** Open a store for writing, creating it where it is missing. */
export function openForWriting(store: string): Backend {
  const db = openStore(store)
  try {
    Generation.ensureSchema(db)
    WriterLog.ensureSchema(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** The store as it may be shown: a URL without its password. */
export function shown(store: string): string {
  return isServerUrl(store)
    ? store.replace(/\/\/[^/]*@/, (login) => login.replace(/:[^@]*@$/, ':***@'))
    : store
}
