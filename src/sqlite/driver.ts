/**
 * The subset of an SQLite driver that the backend needs, and its two forms: Node's
 * `DatabaseSync` and better-sqlite3's `Database`, each known by its shape alone.
 *
 * @module
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Row, Value } from '../contract/backend.ts'
import { quote } from '../contract/errors.ts'
import { firstWord, sqlTokens } from '../shared/sql-lexer.ts'
import { parametersOf } from './parameters.ts'

/** A connection of better-sqlite3, as far as it is used here. */
export interface BetterSqlite3Database {
  readonly inTransaction: boolean
  readonly open: boolean
  readonly memory: boolean
  // biome-ignore lint/suspicious/noExplicitAny: its own types are generic over rows and bindings
  prepare(sql: string): any
  exec(sql: string): unknown
  close(): unknown
}

/** What `SqliteBackend.fromConnection` takes. */
export type SqliteConnection = DatabaseSync | BetterSqlite3Database

/** A prepared statement that gives rows as arrays and integers as bigints. */
export interface SqliteStatement {
  /** How many `?` it has; undefined where its parameters are numbered or named. */
  readonly parameters: number | undefined
  readonly returnsRows: boolean
  /** Whether it may store something, by the word that it begins with. */
  readonly writes: boolean
  /** Whether it sets the journal mode, and so makes or removes files beside the database. */
  readonly setsJournal: boolean
  /** Whether it may change or remove entries of the log. */
  readonly editsLog: boolean
  run(params: readonly Value[]): number
  all(params: readonly Value[]): Row[]
  iterate(params: readonly Value[]): IterableIterator<Row>
}

/** A connection. */
export interface SqliteDriver {
  readonly isOpen: boolean
  readonly inTransaction: boolean
  exec(sql: string): void
  /** @throws TypeError when `sql` holds more than one statement. */
  prepare(sql: string): SqliteStatement
  close(): void
}

/** The driver for `connection`. @throws TypeError when it is neither of the two. */
export function driverOf(connection: SqliteConnection): SqliteDriver {
  if (typeof connection === 'object' && connection !== null) {
    if ('isTransaction' in connection) return nodeDriver(connection)
    if ('inTransaction' in connection) return betterSqlite3Driver(connection)
  }
  throw new TypeError(
    'connection must be a DatabaseSync of node:sqlite or a better-sqlite3 Database, got something else',
  )
}

const COUNTED: ReadonlySet<string> = new Set(['WITH', 'INSERT', 'REPLACE', 'UPDATE', 'DELETE'])
const EDITS: ReadonlySet<string> = new Set(['DELETE', 'UPDATE', 'REPLACE', 'DROP', 'WITH'])
const NAMES_LOG = /\b_agent_store_log\b/i
const SETS_JOURNAL = /\b(?:journal|locking)_mode\s*[=(]/i
const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'PRAGMA'])

function nodeDriver(connection: DatabaseSync): SqliteDriver {
  return {
    get isOpen() {
      return connection.isOpen
    },
    get inTransaction() {
      return connection.isTransaction
    },
    exec: (sql) => connection.exec(sql),
    close: () => connection.close(),
    prepare(sql) {
      const statement = connection.prepare(sql)
      checkSingle(sql, statement.sourceSQL)
      const verb = firstWord(sql, 'sqlite')
      const isCounted = COUNTED.has(verb)
      statement.setReadBigInts(true)
      statement.setReturnArrays(true)
      return {
        parameters: parametersOf(sql),
        returnsRows: statement.columns().length > 0,
        writes: !READS.has(verb),
        setsJournal: SETS_JOURNAL.test(sql),
        editsLog: EDITS.has(firstWord(sql, 'sqlite')) && NAMES_LOG.test(sql),
        // Other statements would report the count of the one before them.
        run: (params) => {
          const { changes } = statement.run(...params)
          return isCounted ? Number(changes) : 0
        },
        // setReturnArrays makes rows arrays, which the declared type does not know.
        all: (params) => statement.all(...params) as unknown as Row[],
        iterate: (params) => statement.iterate(...params) as unknown as IterableIterator<Row>,
      }
    },
  }
}

function betterSqlite3Driver(connection: BetterSqlite3Database): SqliteDriver {
  return {
    get isOpen() {
      return connection.open
    },
    get inTransaction() {
      return connection.inTransaction
    },
    exec: (sql) => void connection.exec(sql),
    close: () => void connection.close(),
    prepare(sql) {
      const statement = single(() => connection.prepare(sql)).safeIntegers(true)
      const returnsRows: boolean = statement.reader
      if (returnsRows) statement.raw(true)
      return {
        parameters: parametersOf(sql),
        returnsRows,
        writes: !READS.has(firstWord(sql, 'sqlite')),
        setsJournal: SETS_JOURNAL.test(sql),
        editsLog: EDITS.has(firstWord(sql, 'sqlite')) && NAMES_LOG.test(sql),
        run: (params) => Number(statement.run(...params).changes),
        all(params) {
          if (returnsRows) return statement.all(...params).map(plainBytes)
          statement.run(...params)
          return []
        },
        *iterate(params) {
          for (const row of statement.iterate(...params)) yield plainBytes(row)
        },
      }
    },
  }
}

/** A Buffer is a Uint8Array that compares and prints as something else: give the latter. */
function plainBytes(row: Value[]): Row {
  return row.map((value) =>
    value instanceof Uint8Array
      ? new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.length)
      : value,
  )
}

/** better-sqlite3 refuses a second statement with a RangeError. */
function single<T>(prepare: () => T): T {
  try {
    return prepare()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new TypeError(`sql must be one statement: ${error.message}`, { cause: error })
  }
}

/** Node compiles the first statement and drops the rest without a word. */
function checkSingle(sql: string, compiled: string): void {
  const rest = sql.slice(compiled.length)
  for (const { kind, start } of sqlTokens(rest, 'sqlite')) {
    if (kind === 'space' || kind === 'comment' || kind === 'semicolon') continue
    throw new TypeError(`sql must be one statement, got more: ${quote(rest.slice(start))}`)
  }
}
