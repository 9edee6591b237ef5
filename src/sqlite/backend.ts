/**
 * The default backend: an SQLite file, through the driver that is built into Node, or
 * through a connection that the consumer already has.
 *
 * What a call acknowledges is on disk. Several processes and threads may use one file:
 * a writer waits for the others up to the busy timeout, and then gets a `BusyError`.
 *
 * @module
 */
import type { DatabaseSync } from 'node:sqlite'
import { checkParams, checkText } from '../contract/arguments.ts'
import type { Backend, Row, Value } from '../contract/backend.ts'
import { ClosedError, quote, type StoreError } from '../contract/errors.ts'
import { TransactionScope } from '../contract/transaction.ts'
import { BoundedMap } from '../shared/bounded-map.ts'
import { firstWord } from '../shared/sql-lexer.ts'
import { sqlite } from './builtin.ts'
import {
  driverOf,
  type SqliteConnection,
  type SqliteDriver,
  type SqliteStatement,
} from './driver.ts'
import { translate } from './errors.ts'
import {
  checkOptions,
  type JournalMode,
  type OpenedFile,
  openFile,
  reportConnection,
  type SqliteOptions,
  setBusyTimeout,
  setDurability,
} from './file.ts'
import { whileBusy } from './lock-wait.ts'
import { isSuspect, Utf8Check } from './utf8-check.ts'
import { watchFile } from './watch.ts'

/** What may be set on a connection that the consumer opened; nothing is set unless asked. */
export type SqliteConnectionOptions = Pick<SqliteOptions, 'busyTimeoutMs' | 'durability'>

const STATEMENTS_KEPT = 128
const CONTROL: ReadonlySet<string> = new Set([
  'BEGIN',
  'COMMIT',
  'END',
  'ROLLBACK',
  'SAVEPOINT',
  'RELEASE',
])

/** A {@link Backend} on SQLite. */
export class SqliteBackend<C extends SqliteConnection = SqliteConnection> implements Backend {
  readonly dialect = 'sqlite'
  /** The file, or `undefined` for a database in memory or a wrapped connection. */
  readonly path: string | undefined
  readonly #connection: C
  readonly #driver: SqliteDriver
  readonly #owned: boolean
  readonly #statements = new BoundedMap<string, SqliteStatement>(STATEMENTS_KEPT)
  readonly #controls = new Map<string, SqliteStatement>()
  readonly #scope: TransactionScope
  /** For how long to ask again for a lock, in ms; undefined where SQLite does the waiting. */
  #patienceMs: number | undefined
  #closed = false

  private constructor(connection: C, owned: boolean, file?: OpenedFile) {
    this.#connection = connection
    this.path = file?.path
    this.#patienceMs = file?.patienceMs
    this.#owned = owned
    this.#driver = driverOf(connection)
    this.#scope = new TransactionScope({
      begin: 'BEGIN IMMEDIATE',
      control: (sql) => this.#control(sql),
      isIn: () => this.#driver.inTransaction,
      enterSnapshot: () => this.#enterSnapshot(),
    })
  }

  /**
   * Open the file at `path`, creating it where it is missing, in WAL mode with
   * `synchronous=FULL`. Where WAL cannot be had (a network file system), the mode is
   * DELETE, and a process warning with code `AGENT_STORE_NO_WAL` says so.
   *
   * @throws TypeError, RangeError for a path that names no file.
   * @throws BackendError when it cannot be opened or is no database; the message says which.
   * @throws BusyError when others hold the file for longer than `busyTimeoutMs`.
   *
   * @example
   * ```ts
   * using db = SqliteBackend.open('fleet.db')
   * ```
   */
  static open(path: string | URL, options: SqliteOptions = {}): SqliteBackend<DatabaseSync> {
    const opened = openFile(path, checkOptions(options))
    return new SqliteBackend(opened.connection, true, opened)
  }

  /** A database in memory, gone when it is closed. */
  static inMemory(): SqliteBackend<DatabaseSync> {
    return new SqliteBackend(new sqlite.DatabaseSync(':memory:'), true)
  }

  /**
   * Use a connection that the consumer already has: a `DatabaseSync`, or a `Database` of
   * better-sqlite3. No pragma is set on it unless asked, and `close` leaves it open. A
   * connection to a file without a busy timeout gets a process warning with code
   * `AGENT_STORE_NO_BUSY_TIMEOUT`.
   * @throws TypeError when it is neither.
   * @throws BackendError when its SQLite is too old to share a file safely.
   */
  static fromConnection<C extends SqliteConnection>(
    connection: C,
    options: SqliteConnectionOptions = {},
  ): SqliteBackend<C> {
    const { busyTimeoutMs, durability } = checkOptions(options)
    const db = new SqliteBackend(connection, false)
    db.#assertOpen()
    if (busyTimeoutMs !== undefined) setBusyTimeout(db.#driver, busyTimeoutMs)
    if (durability !== undefined) setDurability(db.#driver, durability)
    reportConnection((sql) => db.query(sql)[0]?.[0])
    return db
  }

  /**
   * The consumer's own way to the same database, for domain tables and pragmas. From then on
   * SQLite waits for locks by itself, with the busy timeout of this backend; that is less
   * fair where several writers never pause, so prefer `exec` and `query` for writing.
   */
  get connection(): C {
    if (this.#patienceMs !== undefined && this.#driver.isOpen) {
      setBusyTimeout(this.#driver, this.#patienceMs)
    }
    this.#patienceMs = undefined
    return this.#connection
  }

  get inTransaction(): boolean {
    this.#assertOpen()
    return this.#driver.inTransaction
  }

  /** The journal mode that SQLite has in effect. */
  get journalMode(): JournalMode {
    return String(this.query('PRAGMA journal_mode')[0]?.[0]) as JournalMode
  }

  exec(sql: string, params: readonly Value[] = []): number {
    const statement = this.#prepare(sql)
    if (statement.returnsRows) {
      throw new TypeError(`sql returns rows; use query() for ${quote(sql)}`)
    }
    checkParams(params, sql, statement.parameters)
    return this.#wait(() => statement.run(params))
  }

  execMany(sql: string, rows: readonly (readonly Value[])[]): number {
    return this.transaction(() => rows.reduce((sum, row) => sum + this.exec(sql, row), 0))
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    const statement = this.#prepare(sql)
    checkParams(params, sql, statement.parameters)
    // Always all(): get() and run() on RETURNING never checkpoint and can swallow a failed commit.
    const rows = this.#wait(() => statement.all(params))
    if (!rows.some(isSuspect)) return rows
    const check = new Utf8Check(sql, (castSql) => this.#freshRows(castSql, params))
    try {
      for (let i = 0; i < rows.length; i++) check.row(i, rows[i] as Row)
    } finally {
      check.end()
    }
    return rows
  }

  iterate(sql: string, params: readonly Value[] = []): IterableIterator<Row> {
    const statement = this.#prepare(sql)
    // Taken out of the cache while it runs: the same SQL may be run again meanwhile.
    this.#statements.delete(sql)
    checkParams(params, sql, statement.parameters)
    return this.#rows(sql, statement, params)
  }

  transaction<T>(work: () => T): T {
    this.#assertOpen()
    return this.#scope.transaction(work)
  }

  snapshot<T>(work: () => T): T {
    this.#assertOpen()
    return this.#scope.snapshot(work)
  }

  afterCommit(action: () => void): void {
    this.#assertOpen()
    this.#scope.afterCommit(action)
  }

  /**
   * Rings when the file's directory shows a write to it, by whomever. Not for a database in
   * memory or a wrapped connection, whose file is the consumer's.
   */
  watch(ring: () => void, onLost: (reason: StoreError) => void): (() => void) | undefined {
    this.#assertOpen()
    return this.path === undefined ? undefined : watchFile(this.path, ring, onLost)
  }

  /** @throws TypeError inside a transaction or snapshot. */
  close(): void {
    if (this.#closed) return
    if (this.#scope.depth > 0) {
      throw new TypeError('close() must be called outside of transaction() and snapshot()')
    }
    this.#closed = true
    this.#statements.clear()
    this.#controls.clear()
    if (this.#owned && this.#driver.isOpen) this.#driver.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  *#rows(sql: string, statement: SqliteStatement, bound: readonly Value[]): Generator<Row> {
    const check = new Utf8Check(sql, (castSql) => this.#freshRows(castSql, bound))
    let rows: IterableIterator<Row> | undefined
    try {
      rows = this.#call(() => statement.iterate(bound))
      for (let i = 0; ; i++) {
        const next = i === 0 ? this.#wait(() => rows?.next()) : this.#call(() => rows?.next())
        // A driver may end quietly when it is closed meanwhile; fewer rows must not pass for all.
        this.#assertOpen()
        if (next === undefined || next.done) break
        check.row(i, next.value)
        yield next.value
      }
    } finally {
      check.end()
      if (this.#driver.isOpen) {
        rows?.return?.()
        if (!this.#closed) this.#statements.set(sql, statement)
      }
    }
  }

  *#freshRows(sql: string, bound: readonly Value[]): Generator<Row> {
    yield* this.#call(() => this.#driver.prepare(sql).iterate(bound))
  }

  #enterSnapshot(): () => void {
    const own = !this.#driver.inTransaction
    // The consumer may have made the connection read-only before; then it stays so.
    const restrict = this.#call(() => this.#statement('PRAGMA query_only').all([]))[0]?.[0] !== 1n
    if (own) this.#control('BEGIN')
    if (restrict) this.#control('PRAGMA query_only = 1')
    return () => {
      if (restrict) this.#control('PRAGMA query_only = 0')
      if (own && this.#driver.inTransaction) this.#control('ROLLBACK')
    }
  }

  #assertOpen(): void {
    if (this.#closed || !this.#driver.isOpen) {
      throw new ClosedError('this backend is closed; open it again to go on')
    }
  }

  #prepare(sql: string): SqliteStatement {
    this.#assertOpen()
    this.#scope.assertAlive()
    const kept = this.#statements.get(sql)
    if (kept !== undefined) return kept
    checkText('sql', sql)
    if (CONTROL.has(firstWord(sql, 'sqlite'))) {
      throw new TypeError(`sql must not control transactions; use transaction() for ${quote(sql)}`)
    }
    return this.#statement(sql)
  }

  /** Kept apart: what the cache holds, anybody may run. */
  #control(sql: string): void {
    let statement = this.#controls.get(sql)
    if (statement === undefined) {
      statement = this.#call(() => this.#driver.prepare(sql))
      this.#controls.set(sql, statement)
    }
    const prepared = statement
    // A commit that finds the database locked can be tried again; its transaction stays open.
    this.#wait(() => prepared.run([]))
  }

  #statement(sql: string): SqliteStatement {
    const kept = this.#statements.get(sql)
    if (kept !== undefined) return kept
    const statement = this.#wait(() => this.#driver.prepare(sql))
    this.#statements.set(sql, statement)
    return statement
  }

  #wait<T>(work: () => T): T {
    const patienceMs = this.#patienceMs
    if (patienceMs === undefined) return this.#call(work)
    return this.#call(() => whileBusy(patienceMs, work))
  }

  #call<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw translate(error)
    }
  }
}
