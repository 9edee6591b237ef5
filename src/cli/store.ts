/**
 * Opening the store that a command names: what exists, for reading; or, for writing,
 * with its tables laid down.
 *
 * @module
 */
import { Generation, SchemaError, SqliteBackend, WriterLog } from '../index.ts'
import { isTable, LOG, META } from '../schema.ts'

/** Open an existing store for reading. @throws SchemaError when it has no log. */
export function openForReading(store: string): SqliteBackend {
  const db = SqliteBackend.open(store, { readOnly: true })
  try {
    if (!isTable(db, LOG) && !isTable(db, META)) {
      throw new SchemaError(
        `${JSON.stringify(store)} is an SQLite database without agent-store's tables; ` +
          'name another file, or append to it to make it a store',
      )
    }
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Whether the store has counters: a store may have been given only a log. */
export function hasCounters(db: SqliteBackend): boolean {
  return isTable(db, META)
}

/** Whether the store has a log: it may have been given only counters. */
export function hasLog(db: SqliteBackend): boolean {
  return isTable(db, LOG)
}

/** Open a store for writing, creating it where it is missing. */
export function openForWriting(store: string): SqliteBackend {
  const db = SqliteBackend.open(store)
  try {
    Generation.ensureSchema(db)
    WriterLog.ensureSchema(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}
