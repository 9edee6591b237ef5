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
import { checkParams } from '../contract/arguments.ts'
import type { Backend, Row, Value } from '../contract/backend.ts'
import type { CommitEvent } from '../contract/entry.ts'
import {
  BackendError,
  ClosedError,
  quote,
  type StoreError,
  TwoLibrariesError,
} from '../contract/errors.ts'
import { TransactionScope } from '../contract/transaction.ts'
import { forgetHeads } from '../shared/head-guess.ts'
import { checkTarget, placeFile } from './backup.ts'
import { sqlite } from './builtin.ts'
import {
  driverOf,
  type SqliteConnection,
  type SqliteDriver,
  type SqliteStatement,
} from './driver.ts'
import { settled } from './failed-write.ts'
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
import { type FileGuard, guardFile } from './file-guard.ts'
import { leaveOpen } from './open-descriptors.ts'
import { SqliteSession } from './session.ts'
import { watchFile } from './watch.ts'

/** What may be set on a connection that the consumer opened; nothing is set unless asked. */
export type SqliteConnectionOptions = Pick<SqliteOptions, 'busyTimeoutMs' | 'durability'>

/** A {@link Backend} on SQLite. */
export class SqliteBackend<C extends SqliteConnection = SqliteConnection> implements Backend {
  readonly dialect = 'sqlite'
  /** The file, or `undefined` for a database in memory or a wrapped connection. */
  readonly path: string | undefined
  readonly #connection: C
  readonly #driver: SqliteDriver
  readonly #session: SqliteSession
  readonly #owned: boolean
  readonly #scope: TransactionScope
  /** Undefined for a database in memory, and for one that may only be read. */
  #guard: FileGuard | undefined
  /** Why nothing is done any more: the file is not the store's, or not safe. */
  #refusal: StoreError | undefined
  #closed = false

  private constructor(connection: C, owned: boolean, file?: OpenedFile) {
    this.#connection = connection
    this.path = file?.path
    this.#owned = owned
    this.#driver = driverOf(connection)
    this.#session = new SqliteSession(this.#driver, file?.patienceMs)
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
    const db = new SqliteBackend(opened.connection, true, opened)
    if (options.readOnly !== true) db.#watchOver(opened.path, opened.isEveryCommit)
    return db
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
    const read = (sql: string) => db.query(sql)[0]?.[0]
    const file = reportConnection(read)
    if (file !== undefined) db.#watchOver(file, Number(read('PRAGMA synchronous')) >= 2)
    return db
  }

  /**
   * The consumer's own way to the same database, for domain tables and pragmas. From then on
   * SQLite waits for locks by itself, with the busy timeout of this backend; that is less
   * fair where several writers never pause, so prefer `exec` and `query` for writing.
   */
  get connection(): C {
    this.#session.leaveWaitingToSqlite()
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
    const changed = settled(this.#driver, () => this.#session.wait(() => statement.run(params)))
    this.#checkFile(statement)
    return changed
  }

  execMany(sql: string, rows: readonly (readonly Value[])[]): number {
    return this.transaction(() => rows.reduce((sum, row) => sum + this.exec(sql, row), 0))
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    const statement = this.#prepare(sql)
    checkParams(params, sql, statement.parameters)
    const rows = settled(this.#driver, () => this.#session.query(sql, statement, params))
    this.#checkFile(statement)
    return rows
  }

  iterate(sql: string, params: readonly Value[] = []): IterableIterator<Row> {
    const statement = this.#prepare(sql)
    checkParams(params, sql, statement.parameters)
    const atEnd = () => this.#checkFile(statement)
    return this.#session.iterate(sql, statement, params, () => this.#assertOpen(), atEnd)
  }

  transaction<T>(work: () => T): T {
    this.#assertOpen()
    return settled(this.#driver, () => this.#scope.transaction(work))
  }

  snapshot<T>(work: () => T): T {
    this.#assertOpen()
    return this.#scope.snapshot(work)
  }

  afterCommit(action: () => void): void {
    this.#assertOpen()
    this.#scope.afterCommit(action)
  }

  /** See `Backend.acknowledged`. */
  acknowledged(event: CommitEvent): void {
    this.#guard?.acknowledged(event)
  }

  /**
   * Rings when the file's directory shows a write to it, by whomever. Not for a database in
   * memory or a wrapped connection, whose file is the consumer's.
   */
  watch(ring: () => void, onLost: (reason: StoreError) => void): (() => void) | undefined {
    this.#assertOpen()
    return this.path === undefined ? undefined : watchFile(this.path, ring, onLost)
  }

  /**
   * Copy the store into a new file, in one consistent state, while others write. The copy is checked
   * by SQLite and by `check`, flushed, and only then gets its name; it is readable by its owner alone.
   * Never copy the files of an open store by hand, least of all from inside of a process that has it
   * open: that drops SQLite's locks.
   * @param check Looks at the copy before it gets its name; a throw ends the backup.
   * @throws BackendError where a file of that name is, or the copy is not sound: nothing is left.
   * @throws TypeError inside a transaction or snapshot.
   *
   * @example
   * ```ts
   * db.backup('fleet-backup.db', (copy) => WriterLog.verifyAll(copy))
   * ```
   */
  backup(path: string, check: (copy: SqliteBackend) => void = () => {}): void {
    this.#assertOpen()
    const file = checkTarget(path)
    if (this.#driver.inTransaction) {
      throw new TypeError('backup() must be called outside of transaction() and snapshot()')
    }
    const make = (made: string) => void this.query('VACUUM INTO ?', [made])
    placeFile(file, make, (made) => {
      const copy = SqliteBackend.open(made, { readOnly: true })
      try {
        const problems = copy.query('PRAGMA integrity_check(1)').join()
        if (problems !== 'ok') throw new BackendError(`the copy is not sound: ${problems}`)
        check(copy)
      } finally {
        copy.close()
      }
    })
  }

  /** @throws TypeError inside a transaction or snapshot. */
  close(): void {
    if (this.#closed) return
    if (this.#scope.depth > 0) {
      throw new TypeError('close() must be called outside of transaction() and snapshot()')
    }
    this.#closed = true
    this.#session.end()
    const isShared = (this.#guard?.libraries() ?? 1) > 1
    this.#guard?.close()
    if (!this.#owned || !this.#driver.isOpen) return
    if (isShared && this.#guard !== undefined) leaveOpen(this.#connection, this.#guard.path)
    else this.#driver.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #enterSnapshot(): () => void {
    const own = !this.#driver.inTransaction
    // The consumer may have made the connection read-only before; then it stays so.
    const restrict =
      this.#session.call(() => this.#session.prepare('PRAGMA query_only').all([]))[0]?.[0] !== 1n
    if (own) this.#session.control('BEGIN')
    if (restrict) this.#session.control('PRAGMA query_only = 1')
    return () => {
      if (restrict) this.#session.control('PRAGMA query_only = 0')
      if (own && this.#driver.inTransaction) this.#session.control('ROLLBACK')
    }
  }

  /** Look after the files from now on. @throws TwoLibrariesError, FileReplacedError. */
  #watchOver(path: string, isEveryCommit: boolean): void {
    const isWal = () => this.#driver.prepare('PRAGMA journal_mode').all([])[0]?.[0] === 'wal'
    try {
      // The first read makes the files beside the database.
      this.#session.wait(() => this.#driver.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').all([]))
      this.#guard = guardFile({ connection: this.#connection, path, isEveryCommit, isWal })
    } catch (error) {
      // To close it would take the other library's locks and its WAL away.
      if (error instanceof TwoLibrariesError && this.#owned) leaveOpen(this.#connection, error.path)
      else if (this.#owned) this.#driver.close()
      throw error
    }
  }

  /** Behind a statement that was committed by itself. @throws FileReplacedError, TwoLibrariesError. */
  #checkFile(statement: SqliteStatement): void {
    if (statement.editsLog) forgetHeads(this)
    if (this.#guard === undefined) return
    if (statement.setsJournal) this.#guard.renew()
    if (statement.writes && !this.#driver.inTransaction) this.#checkCommit(this.#guard)
  }

  #checkCommit(guard: FileGuard): void {
    const reason = guard.afterCommit()
    if (reason === undefined) return
    this.#refusal = reason
    throw reason
  }

  #control(sql: string): void {
    this.#session.control(sql)
    if (sql === 'COMMIT' && this.#guard !== undefined) this.#checkCommit(this.#guard)
  }

  #assertOpen(): void {
    if (this.#closed || !this.#driver.isOpen) {
      throw new ClosedError('this backend is closed; open it again to go on')
    }
    if (this.#refusal !== undefined) throw this.#refusal
  }

  #prepare(sql: string): SqliteStatement {
    this.#assertOpen()
    this.#scope.assertAlive()
    return this.#session.prepare(sql)
  }
}
