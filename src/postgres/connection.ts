/**
 * One connection to a server: PostgreSQL's extended query protocol, spoken by the calling thread.
 *
 * A statement that the server refuses leaves the connection usable. Anything else that goes
 * wrong (an answer that does not come, bytes that are no answer, the end of the connection)
 * poisons it: it is closed at once and never used again, since a late answer would be read as
 * that of the next call.
 *
 * Message flow: https://www.postgresql.org/docs/current/protocol-flow.html
 *
 * @module
 */
import {
  StoreError as AnyStoreError,
  ConnectionError,
  type Row,
  type StoreError,
  type Value,
} from '../index.ts'
import { authenticate, type Credentials } from './authentication.ts'
import { MessageReader } from './message-reader.ts'
import { MessageWriter } from './message-writer.ts'
import {
  type Notification,
  readNotification,
  readServerError,
  ServerError,
} from './server-message.ts'
import { kindsOf, type Statement, StatementCache, statementName } from './statement.ts'
import type { Transport } from './transport.ts'
import { type Kind, typeOf } from './types.ts'

/** How to begin a session. */
export interface SessionSettings {
  readonly credentials: Credentials
  readonly database: string
  /** Run-time parameters of the server for this session. */
  readonly parameters: Readonly<Record<string, string>>
  /** Parse every statement at each use: behind a pooler that changes servers between transactions. */
  readonly unnamed: boolean
  readonly connectTimeoutMs: number
  readonly deadlineMs: number
}

/** What a statement gave. */
export interface Result {
  readonly rows: Row[]
  /** Rows inserted, updated, deleted, merged or selected. */
  readonly count: number
}

/** What the server is in the midst of: nothing, a transaction, one that failed. */
export type Status = 'I' | 'T' | 'E'

const PROTOCOL_3 = 196_608
/** Pipelined requests are handed over in pieces of this size. */
const PIECE_BYTES = 64 * 1024

/** What is done with what the server says unasked. */
export interface Listener {
  notification(notification: Notification): void
  /** The session has ended, and was not closed by us. Called once. */
  lost(reason: StoreError): void
}

/** A session with a server. */
export class PgConnection {
  readonly #transport: Transport
  readonly #reader: MessageReader
  readonly #writer = new MessageWriter()
  readonly #statements = new StatementCache()
  readonly #parameters = new Map<string, string>()
  readonly #unnamed: boolean
  readonly #listener: Listener
  #deadlineMs: number
  #status: Status = 'I'
  #isOpen = false
  #lost: StoreError | undefined
  /** What the unnamed statement is, in the request that is being written. */
  #parsed: Statement | undefined
  /** A commit of the call at hand that no standby has confirmed. */
  #unreplicated: ServerError | undefined

  private constructor(transport: Transport, settings: SessionSettings, listener: Listener) {
    this.#transport = transport
    this.#unnamed = settings.unnamed
    this.#listener = listener
    this.#deadlineMs = settings.connectTimeoutMs
    this.#reader = new MessageReader(() => transport.receive(this.#deadlineMs))
  }

  /**
   * Begin a session over a transport that has just been connected.
   * @throws ConnectionError when the server refuses it; `driverCode` is the SQLSTATE.
   * @throws DeadlineError.
   */
  static open(transport: Transport, settings: SessionSettings, listener: Listener): PgConnection {
    const connection = new PgConnection(transport, settings, listener)
    connection.#guard(() => connection.#start(settings))
    connection.#deadlineMs = settings.deadlineMs
    connection.#isOpen = true
    return connection
  }

  get status(): Status {
    return this.#status
  }

  /** Why the connection cannot be used any more. */
  get lost(): StoreError | undefined {
    return this.#lost
  }

  /** A run-time parameter that the server reports by itself: `server_version`, … */
  parameter(name: string): string | undefined {
    return this.#parameters.get(name)
  }

  /**
   * Take in what came since the last call: notifications, or that the server has hung up.
   * @throws ConnectionError when the connection is lost; then nothing was sent.
   */
  takeNews(): void {
    if (this.#lost !== undefined) throw this.#lost
    this.#guard(() => {
      // What was said before the end is read before the end is reported.
      for (;;) {
        while (this.#reader.hasMessage) this.#unasked(this.#reader.next())
        const bytes = this.#transport.poll()
        if (bytes === undefined) break
        this.#reader.push(bytes)
      }
    })
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
    const describe = (parse: boolean) =>
      this.#request(() => {
        if (parse) this.#parse(name, sql, types)
        this.#writer.begin('D').byte('S').cstring(name).end()
      }, undefined)
    let described: Described
    try {
      described = describe(true)
    } catch (error) {
      // Another client of the pooler has prepared the same statement on this server's connection.
      if (sqlStateOf(error) !== '42P05' || this.#status !== 'I') throw error
      described = describe(false)
    }
    const { types: columns } = described
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
  run(statement: Statement, params: readonly Value[]): Result {
    return this.runMany([[statement, params]])
  }

  /** Send a statement that reads; {@link PgConnection.finish} waits for what it gives. */
  begin(statement: Statement, params: readonly Value[]): void {
    this.#ask(() => this.#execute(statement, params))
  }

  /** The rows of the statement that was begun. @throws ServerError. @throws ChangedResultError. */
  finish(statement: Statement): Row[] {
    return this.#forgetStale([statement], () => this.#answer(statement.kinds).rows)
  }

  /**
   * Run statements in one round trip, all or none; only one that is alone may return rows.
   * @throws ServerError of the first that is refused.
   * @throws ChangedResultError.
   */
  runMany(calls: readonly (readonly [Statement, readonly Value[]])[]): Result {
    const statements = calls.map(([statement]) => statement)
    return this.#forgetStale(statements, () =>
      this.#request(() => {
        for (const [statement, params] of calls) {
          this.#execute(statement, params)
          if (this.#writer.size > PIECE_BYTES) this.#send()
        }
      }, statements[0]?.kinds),
    )
  }

  /** Begin to run a statement inside a transaction; its rows come by {@link PgConnection.fetch}. */
  openPortal(portal: string, statement: Statement, params: readonly Value[]): void {
    this.#forgetStale([statement], () =>
      this.#request(() => this.#bind(portal, statement, params), statement.kinds),
    )
  }

  /** The next rows of a portal, at most `most`; `done` when there are no more. */
  fetch(
    portal: string,
    kinds: NonNullable<Statement['kinds']>,
    most: number,
  ): { rows: Row[]; done: boolean } {
    const { rows, suspended } = this.#request(() => {
      this.#writer.begin('E').cstring(portal).int32(most).end()
    }, kinds)
    return { rows, done: !suspended }
  }

  closePortal(portal: string): void {
    this.#request(() => {
      this.#writer.begin('C').byte('P').cstring(portal).end()
    }, undefined)
  }

  /** Run SQL that needs no parameters and is not prepared. Cells are text. @throws ServerError. */
  control(sql: string): Row[] {
    this.#guard(() => {
      this.#writer.begin('Q').cstring(sql).end()
      this.#send()
    })
    return this.#answer('text').rows
  }

  /** Call `listener` from the event loop when the server has news; null to stop. */
  onNews(listener: (() => void) | null): void {
    this.#transport.onArrival(listener)
  }

  keepAlive(on: boolean): void {
    this.#transport.keepAlive(on)
  }

  /** Say good-bye and hang up. */
  close(): void {
    if (this.#lost !== undefined) return
    this.#lost = new ConnectionError('the connection is closed')
    this.#writer.begin('X').end()
    this.#transport.send(this.#writer.take())
    this.#transport.close()
  }

  #start({ credentials, database, parameters }: SessionSettings): void {
    const writer = this.#writer.begin('').int32(PROTOCOL_3)
    const all = { user: credentials.user, database, client_encoding: 'UTF8', ...parameters }
    for (const [name, value] of Object.entries(all)) writer.cstring(name).cstring(value)
    writer.byte('\0').end()
    this.#send()
    const dialogue = {
      reader: this.#reader,
      writer: this.#writer,
      send: () => this.#send(),
      certificate: this.#transport.certificate,
    }
    for (let type = this.#reader.next(); type !== 'Z'; type = this.#reader.next()) {
      if (type === 'R') authenticate(credentials, dialogue)
      else if (type === 'E') throw refused(readServerError(this.#reader))
      else if (type === 'S') this.#setParameter()
      else if (type !== 'K' && type !== 'N' && type !== 'v') throw this.#unexpected(type)
    }
    this.#status = this.#readStatus()
  }

  #parse(name: string, sql: string, types: readonly number[]): void {
    const writer = this.#writer.begin('P').cstring(name).cstring(sql).int16(types.length)
    for (const type of types) writer.int32(type)
    writer.end()
  }

  #execute(statement: Statement, params: readonly Value[]): void {
    this.#bind('', statement, params)
    this.#writer.begin('E').cstring('').int32(0).end()
  }

  /** A statement that the server does not keep is parsed first, and its columns are asked for. */
  #bind(portal: string, statement: Statement, params: readonly Value[]): void {
    const { sql, types, kinds } = statement
    const isKept = this.#statements.isKept(statement)
    if (!isKept && this.#parsed !== statement) {
      this.#parse('', sql, types)
      this.#parsed = statement
    }
    const name = isKept ? statement.name : ''
    const writer = this.#writer.begin('B').cstring(portal).cstring(name).int16(params.length)
    for (const param of params) writer.int16(typeof param === 'string' || param === null ? 0 : 1)
    writer.int16(params.length)
    for (const param of params) writer.value(param)
    writer.int16(kinds?.length ?? 0)
    if (kinds !== undefined) for (const kind of kinds) writer.int16(kind === 'text' ? 0 : 1)
    writer.end()
    if (!isKept && kinds !== undefined) writer.begin('D').byte('P').cstring(portal).end()
  }

  #forgetStale<T>(statements: readonly Statement[], work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (isStale(error)) for (const statement of statements) this.#statements.drop(statement)
      throw error
    }
  }

  #request(write: () => void, kinds: Statement['kinds']): Answer {
    this.#ask(write)
    return this.#answer(kinds)
  }

  #ask(write: () => void): void {
    this.#guard(() => {
      for (const name of this.#statements.takeEvicted()) {
        this.#writer.begin('C').byte('S').cstring(name).end()
      }
      this.#parsed = undefined
      write()
      this.#writer.begin('S').end()
      this.#send()
    })
  }

  /** Everything up to ReadyForQuery. */
  #answer(expected: Statement['kinds'] | 'text'): Answer {
    let kinds: readonly Kind[] = expected === 'text' ? [] : (expected ?? [])
    const answer: Answer = { rows: [], count: 0, suspended: false, types: undefined }
    let failure: ServerError | ChangedResultError | undefined
    this.#unreplicated = undefined
    this.#guard(() => {
      const reader = this.#reader
      for (;;) {
        const type = reader.next()
        if (type === 'D') {
          if (!(failure instanceof ChangedResultError)) answer.rows.push(reader.row(kinds))
          continue
        }
        if (type === 'Z') break
        if (type === 'C') answer.count += countOf(reader.cstring())
        else if (type === 's') answer.suspended = true
        else if (type === 'T') {
          answer.types = this.#readColumns()
          if (expected === 'text') kinds = answer.types.map(() => 'text')
          else if (expected !== undefined && kindsOf(answer.types).join() !== expected.join()) {
            failure ??= new ChangedResultError()
          }
        } else if (type === 'E') {
          const error = readServerError(reader)
          if (error.isFatal) throw refused(error)
          if (!(failure instanceof ServerError)) failure = error // With it, nothing was stored.
        } else if (type === 'G') {
          this.#writer.begin('f').cstring('COPY is not for this interface').end().begin('S').end()
          this.#send()
        } else if (!'123ntIHdcW'.includes(type)) this.#unasked(type)
      }
      this.#status = this.#readStatus()
    })
    if (failure !== undefined) throw failure
    if (this.#unreplicated !== undefined) throw this.#unreplicated
    return answer
  }

  /** A message that may come at any time. */
  #unasked(type: string): void {
    if (type === 'S') this.#setParameter()
    else if (type === 'A') this.#listener.notification(readNotification(this.#reader))
    else if (type === 'N') {
      const notice = readServerError(this.#reader)
      if (notice.isUnreplicatedCommit) this.#unreplicated = notice
    } else if (type === 'E') throw refused(readServerError(this.#reader))
    else throw this.#unexpected(type)
  }

  #setParameter(): void {
    const name = this.#reader.cstring()
    this.#parameters.set(name, this.#reader.cstring())
  }

  #readColumns(): number[] {
    return Array.from({ length: this.#reader.int16() }, () => {
      this.#reader.cstring()
      this.#reader.bytes(6)
      const type = this.#reader.uint32()
      this.#reader.bytes(8)
      return type
    })
  }

  #readStatus(): Status {
    const letter = String.fromCharCode(this.#reader.byte())
    if (letter === 'I' || letter === 'T' || letter === 'E') return letter
    throw this.#unexpected(`Z ${letter}`)
  }

  #unexpected(type: string): ConnectionError {
    return new ConnectionError(`the server sent ${JSON.stringify(type)} where it has no place`)
  }

  #send(): void {
    this.#transport.send(this.#writer.take())
  }

  /** Whatever is thrown in here makes the connection useless. */
  #guard(work: () => void): void {
    if (this.#lost !== undefined) throw this.#lost
    try {
      work()
    } catch (error) {
      this.#writer.reset()
      this.#transport.destroy()
      this.#status = 'I'
      this.#lost =
        error instanceof AnyStoreError
          ? error
          : new ConnectionError(`the connection was given up: ${String(error)}`, { cause: error })
      if (this.#isOpen) this.#listener.lost(this.#lost)
      throw this.#lost
    }
  }
}

interface Answer {
  readonly rows: Row[]
  count: number
  suspended: boolean
  /** The types of the columns, where they were described. */
  types: number[] | undefined
}

type Described = Pick<Answer, 'types'>

function refused(error: ServerError): ConnectionError {
  return new ConnectionError(`the server ended the connection: ${error.text}`, {
    driverCode: error.sqlState,
    cause: error,
  })
}

/**
 * A statement ran, and its columns have other types than those that were described: its rows
 * were not read. The server itself refuses this, before, where it keeps the statement.
 */
export class ChangedResultError extends Error {
  override readonly name = 'ChangedResultError'

  constructor() {
    super('its columns have other types than when it was first used, and its rows were not read')
  }
}

function sqlStateOf(error: unknown): string | undefined {
  return error instanceof Error && 'sqlState' in error ? String(error.sqlState) : undefined
}

/** The server does not know the statement any more, or its result has other columns by now. */
export function isStale(error: unknown): boolean {
  if (error instanceof ChangedResultError) return true
  if (!(error instanceof ServerError)) return false
  const { sqlState, routine } = error
  return (
    sqlState === '26000' ||
    (sqlState === '0A000' && routine === 'RevalidateCachedQuery') ||
    (sqlState === '08P01' && routine === 'PortalSetResultFormat')
  )
}

function countOf(tag: string): number {
  const count = /^(?:INSERT \d+|UPDATE|DELETE|MERGE|SELECT) (\d+)$/.exec(tag)?.[1]
  return count === undefined ? 0 : Number(count)
}
