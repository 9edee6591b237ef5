/**
 * The two tables of the store, byte-compatible with the Rust crate, and the check that
 * a table of that name really is the one. They are never altered.
 *
 * @module
 */
import type { Backend } from './backend.ts'
import { quote, SchemaError } from './errors.ts'

/** A table: the statement that creates it, and the columns it must have. */
export interface Table {
  readonly name: string
  readonly ddl: string
  /** `name type`, with ` NOT NULL` and ` PRIMARY KEY n` where they hold. */
  readonly columns: readonly string[]
}

/** Counters. */
export const META: Table = {
  name: '_agent_store_meta',
  ddl: 'CREATE TABLE IF NOT EXISTS _agent_store_meta (key TEXT PRIMARY KEY, ival INTEGER NOT NULL)',
  columns: ['key TEXT PRIMARY KEY 1', 'ival INTEGER NOT NULL'],
}

/** Entries. */
export const LOG: Table = {
  name: '_agent_store_log',
  ddl:
    'CREATE TABLE IF NOT EXISTS _agent_store_log (' +
    'stream TEXT NOT NULL, writer TEXT NOT NULL, seq INTEGER NOT NULL, ' +
    'prev_hash BLOB, content_hash BLOB NOT NULL, payload BLOB NOT NULL, ' +
    'PRIMARY KEY (stream, writer, seq))',
  columns: [
    'stream TEXT NOT NULL PRIMARY KEY 1',
    'writer TEXT NOT NULL PRIMARY KEY 2',
    'seq INTEGER NOT NULL PRIMARY KEY 3',
    'prev_hash BLOB',
    'content_hash BLOB NOT NULL',
    'payload BLOB NOT NULL',
  ],
}

/**
 * Create `table` where it is missing.
 * @throws SchemaError when something else has its name.
 */
export function ensureTable(db: Backend, table: Table): void {
  if (!isTable(db, table)) db.exec(table.ddl)
}

/**
 * Whether `table` is there.
 * @throws SchemaError when something else has its name.
 */
export function isTable(db: Backend, table: Table): boolean {
  const found = db
    .query('SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid', [table.name])
    .map(
      ([name, type, notNull, pk]) =>
        `${name} ${type}${notNull === 1n ? ' NOT NULL' : ''}${pk === 0n ? '' : ` PRIMARY KEY ${pk}`}`,
    )
  if (found.length === 0) return false
  const missing = table.columns.filter((column) => !found.includes(column))
  if (missing.length === 0) return true
  throw new SchemaError(
    `table ${table.name} of this database is not agent-store's: it lacks ${missing.map(quote).join(', ')} ` +
      `and has ${found.map(quote).join(', ')}; open another file, or rename that table`,
  )
}
