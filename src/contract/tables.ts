/**
 * The tables of the store, and the check that a table of that name really is the one.
 *
 * The counters and the log are byte-compatible with the Rust crate and are never altered. The
 * table of cursors is this package's own. Every room that lays one of them down takes it from here.
 *
 * @module
 */
import type { Backend, Dialect } from './backend.ts'
import { quote, SchemaError } from './errors.ts'

/** A table, in one dialect: the statement that creates it, and the columns it must have. */
export interface TableShape {
  readonly ddl: string
  /** `name type`, with ` NOT NULL` and ` PRIMARY KEY n` where they hold. */
  readonly columns: readonly string[]
}

/** A table of the store. */
export interface Table extends Readonly<Record<Dialect, TableShape>> {
  readonly name: string
}

/** Counters. */
export const META: Table = {
  name: '_agent_store_meta',
  sqlite: {
    ddl: 'CREATE TABLE IF NOT EXISTS _agent_store_meta (key TEXT PRIMARY KEY, ival INTEGER NOT NULL)',
    columns: ['key TEXT PRIMARY KEY 1', 'ival INTEGER NOT NULL'],
  },
  postgres: {
    ddl: 'CREATE TABLE IF NOT EXISTS _agent_store_meta (key TEXT COLLATE "C" PRIMARY KEY, ival BIGINT NOT NULL)',
    columns: ['key text COLLATE C NOT NULL PRIMARY KEY 1', 'ival bigint NOT NULL'],
  },
}

/** Entries. */
export const LOG: Table = {
  name: '_agent_store_log',
  sqlite: {
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
  },
  // Names sort by their bytes, as they do on SQLite, whatever the language of the database.
  postgres: {
    ddl:
      'CREATE TABLE IF NOT EXISTS _agent_store_log (' +
      'stream TEXT COLLATE "C" NOT NULL, writer TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL, ' +
      'prev_hash BYTEA, content_hash BYTEA NOT NULL, payload BYTEA NOT NULL, ' +
      'PRIMARY KEY (stream, writer, seq))',
    columns: [
      'stream text COLLATE C NOT NULL PRIMARY KEY 1',
      'writer text COLLATE C NOT NULL PRIMARY KEY 2',
      'seq bigint NOT NULL PRIMARY KEY 3',
      'prev_hash bytea',
      'content_hash bytea NOT NULL',
      'payload bytea NOT NULL',
    ],
  },
}

/** How far each consumer has come in each log. */
export const CURSOR: Table = {
  name: '_agent_store_cursor',
  sqlite: {
    ddl:
      'CREATE TABLE IF NOT EXISTS _agent_store_cursor (' +
      'consumer TEXT NOT NULL, stream TEXT NOT NULL, writer TEXT NOT NULL, ' +
      'seq INTEGER NOT NULL, content_hash BLOB NOT NULL, PRIMARY KEY (consumer, stream, writer))',
    columns: [
      'consumer TEXT NOT NULL PRIMARY KEY 1',
      'stream TEXT NOT NULL PRIMARY KEY 2',
      'writer TEXT NOT NULL PRIMARY KEY 3',
      'seq INTEGER NOT NULL',
      'content_hash BLOB NOT NULL',
    ],
  },
  postgres: {
    ddl:
      'CREATE TABLE IF NOT EXISTS _agent_store_cursor (' +
      'consumer TEXT COLLATE "C" NOT NULL, stream TEXT COLLATE "C" NOT NULL, writer TEXT COLLATE "C" NOT NULL, ' +
      'seq BIGINT NOT NULL, content_hash BYTEA NOT NULL, PRIMARY KEY (consumer, stream, writer))',
    columns: [
      'consumer text COLLATE C NOT NULL PRIMARY KEY 1',
      'stream text COLLATE C NOT NULL PRIMARY KEY 2',
      'writer text COLLATE C NOT NULL PRIMARY KEY 3',
      'seq bigint NOT NULL',
      'content_hash bytea NOT NULL',
    ],
  },
}

/** The columns of a table: name, type, whether not null, place in the primary key from 1 or 0. */
const COLUMNS: Readonly<Record<Dialect, string>> = {
  sqlite: 'SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid',
  postgres: `SELECT a.attname, format_type(a.atttypid, NULL) || CASE
        WHEN c.collname IS NULL THEN '' ELSE ' COLLATE ' || c.collname END,
      a.attnotnull, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)
    FROM pg_attribute a
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
}

/** On Postgres, IF NOT EXISTS fails when another session creates the table meanwhile. */
const LOCK_TABLES = "SELECT pg_advisory_xact_lock(hashtext('agent-store'), hashtext('tables'))"

const CREATE: Readonly<Record<Dialect, (db: Backend, ddl: string) => void>> = {
  sqlite: (db, ddl) => void db.exec(ddl),
  postgres: (db, ddl) =>
    db.transaction(() => {
      db.query(LOCK_TABLES)
      db.exec(ddl)
    }),
}

/**
 * Create `table` where it is missing.
 * @throws SchemaError when something else has its name.
 */
export function ensureTable(db: Backend, table: Table): void {
  if (!isTable(db, table)) CREATE[db.dialect](db, table[db.dialect].ddl)
}

/**
 * Whether `table` is there.
 * @throws SchemaError when something else has its name.
 */
export function isTable(db: Backend, table: Table): boolean {
  const found = db
    .query(COLUMNS[db.dialect], [table.name])
    .map(
      ([name, type, notNull, pk]) =>
        `${name} ${type}${notNull === 1n ? ' NOT NULL' : ''}${pk === 0n ? '' : ` PRIMARY KEY ${pk}`}`,
    )
  if (found.length === 0) return false
  const missing = table[db.dialect].columns.filter((column) => !found.includes(column))
  if (missing.length === 0) return true
  throw new SchemaError(
    `table ${table.name} of this database is not agent-store's: it lacks ${missing.map(quote).join(', ')} ` +
      `and has ${found.map(quote).join(', ')}; open another store, or rename that table`,
  )
}
