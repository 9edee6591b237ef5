/**
 * One connection to a server: PostgreSQL's extended query protocol, spoken by the calling thread.
 *
 * A statement that the server refuses leaves the connection usable. Anything else that goes
 * wrong ends it, and it is never used again.
 *
 * Message flow: https://www.postgresql.org/docs/current/protocol-flow.html
 *
 * @module
 */
import type { Row, StoreError, Value } from '../index.ts'
import { type SessionSettings, shakeHands } from './handshake.ts'
import { type Answer, isStale, readAnswer } from './protocol/answer.ts'
import { Request } from './protocol/request.ts'
import { ServerError } from './protocol/server-message.ts'
import { kindsOf, type Statement, StatementCache, statementName } from './protocol/statement.ts'
import { typeOf } from './protocol/types.ts'
import { type Listener, type Status, Wire } from './protocol/wire.ts'
import type { Transport } from './pump/transport.ts'

/** Pipelined requests are handed over in pieces of this size. */
const PIECE_BYTES = 64 * 1024

/** A session with a server. */
export class PgConnection {
  readonly #wire: Wire
  readonly #statements = new StatementCache()
  readonly #unnamed: boolean

  private constructor(wire: Wire, unnamed: boolean) {
    this.#wire = wire
    this.#unnamed = unnamed
  }

  /**
   * Begin a session over a transport that has just been connected.
   * @throws ConnectionError when the server refuses it; `driverCode` is the SQLSTATE.
   * @throws DeadlineError.
   */
  static open(transport: Transport, settings: SessionSettings, listener: Listener): PgConnection {
    const wire = new Wire(transport, listener, settings.connectTimeoutMs)
    wire.guard(() => shakeHands(wire, settings))
    wire.opened(settings.deadlineMs)
    return new PgConnection(wire, settings.unnamed)
  }

  get status(): Status {
    return this.#wire.status
  }

  /** Why the connection cannot be used any more. */
  get lost(): StoreError | undefined {
    return this.#wire.lost
  }

  /** A run-time parameter that the server reports by itself: `server_version`, … */
  parameter(name: string): string | undefined {
    return this.#wire.parameter(name)
  }

  /**
   * Take in what came since the last call: notifications, or that the server has hung up.
   * @throws ConnectionError when the connection is lost; then nothing was sent.
   */
  takeNews(): void {
    this.#wire.takeNews()
  }

  /**
   * The statement for this SQL and these parameters, parsed by the server if it is new.
   * @param casted Parameters whose type the SQL says itself.
   */
  prepare(sql: string, params: readonly Value[], casted?: ReadonlySet<number>): Statement {
    const types = params.map((value, i) => (casted?.has(i) ? 0 : typeOf(value)))
    const key = `${types.join()}\0${sql}`
    const kept = this.#statements.get(key)
    if (kept !== undefined) return kept
    const name = this.#unnamed ? '' : statementName(sql, types)
    const columns = this.#describe(name, sql, types)
    const statement = {
      name,
      sql,
      types,
      kinds: columns === undefined ? undefined : kindsOf(columns),
    }
    this.#statements.set(key, statement)
    return statement
  }

  /**
   * Run a statement: one round trip.
   * @throws ServerError when it is refused.
   * @throws ChangedResultError.
   */
  run(statement: Statement, params: readonly Value[]): Answer {
    return this.runMany([[statement, params]])
  }

  /** Send a statement that reads; {@link PgConnection.finish} waits for what it gives. */
  begin(statement: Statement, params: readonly Value[]): void {
    this.#send((request) => {
      request.bind('', statement, params)
      request.execute('', 0)
    })
  }

  /** The rows of the statement that was begun. @throws ServerError. @throws ChangedResultError. */
  finish(statement: Statement): Row[] {
    return this.#forgetStale([statement], () => readAnswer(this.#wire, statement.kinds).rows)
  }

  /**
   * Run statements in one round trip, all or none; only one that is alone may return rows.
   * @throws ServerError of the first that is refused.
   * @throws ChangedResultError.
   */
  runMany(calls: readonly (readonly [Statement, readonly Value[]])[]): Answer {
    const statements = calls.map(([statement]) => statement)
    return this.#forgetStale(statements, () =>
      this.#ask((request) => {
        for (const [statement, params] of calls) {
          request.bind('', statement, params)
          request.execute('', 0)
          if (this.#wire.writer.size > PIECE_BYTES) this.#wire.send()
        }
      }, statements[0]?.kinds),
    )
  }

  /** Begin to run a statement inside a transaction; its rows come by {@link PgConnection.fetch}. */
  openPortal(portal: string, statement: Statement, params: readonly Value[]): void {
    this.#forgetStale([statement], () =>
      this.#ask((request) => request.bind(portal, statement, params), statement.kinds),
    )
  }

  /** The next rows of a portal, at most `most`; `done` when there are no more. */
  fetch(
    portal: string,
    kinds: NonNullable<Statement['kinds']>,
    most: number,
  ): { rows: Row[]; done: boolean } {
    const { rows, suspended } = this.#ask((request) => request.execute(portal, most), kinds)
    return { rows, done: !suspended }
  }

  closePortal(portal: string): void {
    this.#ask((request) => request.closePortal(portal), undefined)
  }

  /** Run SQL that needs no parameters and is not prepared. Cells are text. @throws ServerError. */
  control(sql: string): Row[] {
    const wire = this.#wire
    wire.guard(() => {
      wire.writer.begin('Q').cstring(sql).end()
      wire.send()
    })
    return readAnswer(wire, 'text').rows
  }

  /** Call `listener` from the event loop when the server has news; null to stop. */
  onNews(listener: (() => void) | null): void {
    this.#wire.onNews(listener)
  }

  /** See {@link Wire.patiently}. */
  patiently<T>(work: () => T): T {
    return this.#wire.patiently(work)
  }

  keepAlive(on: boolean): void {
    this.#wire.keepAlive(on)
  }

  /** Say good-bye and hang up. */
  close(): void {
    this.#wire.close()
  }

  /** Have a statement parsed. @returns the types of its columns, if it has any. */
  #describe(name: string, sql: string, types: readonly number[]): Answer['types'] {
    try {
      return this.#ask((request) => {
        request.parse(name, sql, types)
        request.describe(name)
      }, undefined).types
    } catch (error) {
      // Another client of the pooler has prepared the same statement on this server's connection.
      if (!(error instanceof ServerError && error.sqlState === '42P05')) throw error
      if (this.status !== 'I') throw error
      return this.#ask((request) => request.describe(name), undefined).types
    }
  }

  #forgetStale<T>(statements: readonly Statement[], work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (isStale(error)) for (const statement of statements) this.#statements.drop(statement)
      throw error
    }
  }

  #ask(write: (request: Request) => void, kinds: Statement['kinds']): Answer {
    this.#send(write)
    return readAnswer(this.#wire, kinds)
  }

  #send(write: (request: Request) => void): void {
    const wire = this.#wire
    wire.guard(() => {
      const request = new Request(wire.writer, this.#statements)
      write(request)
      request.sync()
      wire.send()
    })
  }
}
