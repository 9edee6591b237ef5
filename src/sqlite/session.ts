/**
 * One connection as the backend uses it: its prepared statements, kept; transaction control, kept
 * apart; and waiting for locks.
 *
 * @module
 */
import { checkText } from '../contract/arguments.ts'
import type { Row, Value } from '../contract/backend.ts'
import { quote } from '../contract/errors.ts'
import { BoundedMap } from '../shared/bounded-map.ts'
import { firstWord } from '../shared/sql-lexer.ts'
import type { SqliteDriver, SqliteStatement } from './driver.ts'
import { translate } from './errors.ts'
import { setBusyTimeout } from './file.ts'
import { whileBusy } from './lock-wait.ts'
import { isSuspect, Utf8Check } from './utf8-check.ts'

const STATEMENTS_KEPT = 128
const CONTROL: ReadonlySet<string> = new Set([
  'BEGIN',
  'COMMIT',
  'END',
  'ROLLBACK',
  'SAVEPOINT',
  'RELEASE',
])

/** The statements of one connection, and how its locks are waited for. */
export class SqliteSession {
  readonly driver: SqliteDriver
  readonly #statements = new BoundedMap<string, SqliteStatement>(STATEMENTS_KEPT)
  readonly #controls = new Map<string, SqliteStatement>()
  #isEnded = false
  /** For how long to ask again for a lock, in ms; undefined where SQLite does the waiting. */
  #patienceMs: number | undefined

  constructor(driver: SqliteDriver, patienceMs: number | undefined) {
    this.driver = driver
    this.#patienceMs = patienceMs
  }

  /** From now on SQLite waits for locks by itself. */
  leaveWaitingToSqlite(): void {
    if (this.#patienceMs !== undefined && this.driver.isOpen) {
      setBusyTimeout(this.driver, this.#patienceMs)
    }
    this.#patienceMs = undefined
  }

  /** A statement of a caller. @throws TypeError for SQL that controls transactions. */
  prepare(sql: string): SqliteStatement {
    const kept = this.#statements.get(sql)
    if (kept !== undefined) return kept
    checkText('sql', sql)
    if (CONTROL.has(firstWord(sql, 'sqlite'))) {
      throw new TypeError(`sql must not control transactions; use transaction() for ${quote(sql)}`)
    }
    const statement = this.wait(() => this.driver.prepare(sql))
    this.#statements.set(sql, statement)
    return statement
  }

  /** All rows of a statement. @throws MalformedRowError for stored text that is no UTF-8. */
  query(sql: string, statement: SqliteStatement, params: readonly Value[]): Row[] {
    // Always all(): get() and run() on RETURNING never checkpoint and can swallow a failed commit.
    const rows = this.wait(() => statement.all(params))
    if (!rows.some(isSuspect)) return rows
    const check = new Utf8Check(sql, (castSql) => this.#freshRows(castSql, params))
    try {
      for (const [i, row] of rows.entries()) check.row(i, row)
    } finally {
      check.end()
    }
    return rows
  }

  /**
   * The rows of a statement one at a time. The statement is taken out of the cache while it runs:
   * the same SQL may be run again meanwhile.
   * @param assertOpen Throws where the backend was closed.
   * @param atEnd Called when the statement has run to its end.
   */
  iterate(
    sql: string,
    statement: SqliteStatement,
    params: readonly Value[],
    assertOpen: () => void,
    atEnd: () => void,
  ): IterableIterator<Row> {
    this.#statements.delete(sql)
    return this.#rows(sql, statement, params, assertOpen, atEnd)
  }

  *#rows(
    sql: string,
    statement: SqliteStatement,
    params: readonly Value[],
    assertOpen: () => void,
    atEnd: () => void,
  ): Generator<Row> {
    const check = new Utf8Check(sql, (castSql) => this.#freshRows(castSql, params))
    let rows: IterableIterator<Row> | undefined
    try {
      rows = this.call(() => statement.iterate(params))
      for (let i = 0; ; i++) {
        const step = () => rows?.next()
        const next = i === 0 ? this.wait(step) : this.call(step)
        // A driver may end quietly when it is closed meanwhile; fewer rows must not pass for all.
        assertOpen()
        if (next === undefined || next.done) {
          atEnd()
          break
        }
        check.row(i, next.value)
        yield next.value
      }
    } finally {
      check.end()
      if (this.driver.isOpen) {
        rows?.return?.()
        if (!this.#isEnded) this.#statements.set(sql, statement)
      }
    }
  }

  *#freshRows(sql: string, params: readonly Value[]): Generator<Row> {
    yield* this.call(() => this.driver.prepare(sql).iterate(params))
  }

  /** Run transaction control or a pragma of ours. Kept apart: what the cache holds, a caller may run. */
  control(sql: string): void {
    let statement = this.#controls.get(sql)
    if (statement === undefined) {
      statement = this.call(() => this.driver.prepare(sql))
      this.#controls.set(sql, statement)
    }
    const prepared = statement
    // A commit that finds the database locked can be tried again; its transaction stays open.
    this.wait(() => prepared.run([]))
  }

  /** Forget every statement, for good. */
  end(): void {
    this.#isEnded = true
    this.#statements.clear()
    this.#controls.clear()
  }

  /** Run `work`, asking again for a lock that is in its way. @throws the store's own errors. */
  wait<T>(work: () => T): T {
    const patienceMs = this.#patienceMs
    if (patienceMs === undefined) return this.call(work)
    return this.call(() => whileBusy(patienceMs, work))
  }

  /** Run `work` once. @throws the store's own errors. */
  call<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw translate(error)
    }
  }
}
