/**
 * The backend on a PostgreSQL server, as synchronous as the one on a file.
 *
 * What a call acknowledges was committed as the server is configured to. Every wait has a
 * deadline. When the connection is lost, the call at hand throws at once, and says whether it
 * can have been stored; nothing is ever sent twice on its own account.
 *
 * @module
 */
import {
  type Backend,
  BackendError,
  ClosedError,
  type CommitEvent,
  ConnectionError,
  checkParams,
  checkText,
  DeadlineError,
  InDoubtError,
  quote,
  type Row,
  type StoreError,
  TransactionScope,
  type Value,
} from '../index.ts'
import { Announcer, CHANNEL, eventsOf, NOTIFY } from './announcer.ts'
import { ChangedResultError, isStale } from './answer.ts'
import { type ChannelListener, Channels } from './channels.ts'
import type { PgConnection } from './connection.ts'
import { type PgOptions, settle } from './options.ts'
import { openPglite, type Pglite, type PgliteOptions } from './pglite.ts'
import { PumpWorker } from './pump-worker.ts'
import { ServerError } from './server-message.ts'
import { connectToAny, type Session } from './servers.ts'
import { isControl, isCopy, isRead, readSql, type SqlText } from './sql-text.ts'
import type { Statement } from './statement.ts'

/** Rows that an iteration asks for at a time. */
const PORTAL_ROWS = 500
const SQL_KEPT = 512
const MOST_PARAMETERS = 65_535
/** Within this, a server has answered a notification. */
const TOLD_MS = 5

/** Where sessions come from. */
export interface SessionSource {
  readonly reconnect: boolean
  /** Whether its commits are told to those who listen. */
  readonly notify: boolean
  open(last: Session | undefined, channels: Channels): Session
}

/**
 * A {@link Backend} on PostgreSQL.
 *
 * @example
 * ```ts
 * using db = PgBackend.connect(process.env.DATABASE_URL ?? 'postgres://localhost/fleet')
 * ```
 */
export class PgBackend implements Backend {
  readonly dialect = 'postgres'
  readonly #source: SessionSource
  readonly #channels: Channels
  readonly #scope: TransactionScope
  readonly #announcer: Announcer | undefined
  readonly #sql = new Map<string, SqlText>()
  #session: Session
  /** An iteration that opened the transaction by itself, and is not finished. */
  #iteration: string | undefined
  #portals = 0
  /** A read that was begun, and not asked for yet. */
  #ahead: Ahead | undefined
  #told: NodeJS.Timeout | undefined
  #readOnly = false
  #closed = false

  /** @internal */
  constructor(source: SessionSource) {
    this.#source = source
    this.#channels = new Channels(() => this.#takeNews())
    this.#session = source.open(undefined, this.#channels)
    this.#scope = new TransactionScope({
      begin: 'BEGIN ISOLATION LEVEL READ COMMITTED',
      control: (sql) => this.#control(sql),
      isIn: () => this.#session.connection.status !== 'I',
      enterSnapshot: () => this.#enterSnapshot(),
    })
    if (source.notify) this.#announcer = new Announcer(this, (payload) => this.#tell(payload))
  }

  /**
   * Connect to a server.
   * @param target A `postgres://` URL or libpq's `key=value` form, or options; what they leave
   * out is taken from the `PG…` variables, as libpq does.
   * @throws PolicyError for settings that are unknown or not to be had.
   * @throws ConnectionError when no host of the list will do; it says why, for each.
   * @throws DeadlineError when none answered within `connectTimeoutMs`.
   */
  static connect(target: string | URL | PgOptions = {}): PgBackend {
    PumpWorker.start() // It takes its time, and the settings some of it.
    const settings = settle(target)
    return new PgBackend({
      reconnect: settings.reconnect,
      notify: settings.notify,
      open: (last, channels) => connectToAny(settings, last?.identity, channels),
    })
  }

  /**
   * Use a PGlite in this process, for tests and experiments: it is not durable and not shared.
   * @param options Must say `{ durability: 'none' }`.
   * @throws PolicyError when it does not, when it is closed, or when another backend has it.
   */
  static onPglite(pglite: Pglite, options: PgliteOptions): PgBackend {
    return new PgBackend({
      reconnect: false,
      notify: false,
      open: (_, channels) => openPglite(pglite, options, channels),
    })
  }

  /** The server that the session is with: `user@host:port/database`. */
  get server(): string {
    return this.#session.name
  }

  /** The version that the server reports: `18.1`. */
  get serverVersion(): string {
    return this.#session.connection.parameter('server_version') ?? ''
  }

  get inTransaction(): boolean {
    this.#assertOpen()
    return this.#session.connection.status !== 'I'
  }

  exec(sql: string, params: readonly Value[] = []): number {
    const { connection, text } = this.#prepare(sql, params)
    return this.#run(
      connection,
      text,
      (statement) => {
        if (statement.kinds !== undefined) {
          throw new TypeError(`sql returns rows; use query() for ${quote(sql)}`)
        }
        return connection.run(statement, params).count
      },
      params,
    )
  }

  execMany(sql: string, rows: readonly (readonly Value[])[]): number {
    const [first] = rows
    if (first === undefined) return 0
    const { connection, text } = this.#prepare(sql, first)
    for (const row of rows) checkRow(text, row, sql)
    return this.#run(
      connection,
      text,
      (statement) => {
        if (statement.kinds !== undefined) {
          throw new TypeError(`sql returns rows; use query() for ${quote(sql)}`)
        }
        const calls = rows.map(
          (row) => [connection.prepare(text.text, row, text.vectors), row] as const,
        )
        return connection.runMany(calls).count
      },
      first,
    )
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    const ahead = this.#ahead
    if (ahead !== undefined && ahead.sql === sql && areSame(ahead.params, params)) {
      this.#ahead = undefined
      try {
        return this.#call(false, () => ahead.connection.finish(ahead.statement))
      } catch (error) {
        if (!isStaleRefusal(error) || ahead.connection.status !== 'I') throw error
      }
    }
    const { connection, text } = this.#prepare(sql, params)
    return this.#run(
      connection,
      text,
      (statement) => connection.run(statement, params).rows,
      params,
    )
  }

  ahead(sql: string, params: readonly Value[]): void {
    const { connection, text } = this.#prepare(sql, params)
    if (!isRead(text)) throw new TypeError(`sql must only read, got ${quote(sql)}`)
    const statement = this.#call(false, () => connection.prepare(text.text, params, text.vectors))
    this.#call(false, () => connection.begin(statement, params))
    this.#ahead = { sql, params, connection, statement }
  }

  /**
   * Rows are fetched 500 at a time. Outside of a transaction the iteration is one by itself,
   * and the connection does nothing else until it is finished or returned from.
   */
  iterate(sql: string, params: readonly Value[] = []): IterableIterator<Row> {
    const { text } = this.#prepare(sql, params)
    return this.#rows(text, params, sql)
  }

  transaction<T>(work: () => T): T {
    this.#usable()
    return this.#scope.transaction(work)
  }

  snapshot<T>(work: () => T): T {
    this.#usable()
    return this.#scope.snapshot(work)
  }

  afterCommit(action: () => void): void {
    this.#assertOpen()
    this.#scope.afterCommit(action)
  }

  /**
   * Hear what is sent to a channel by `NOTIFY`. Listeners are called from the event loop, never
   * from inside of a call. After a loss, `interrupted` is called, since notifications may have
   * been missed; a backend that reconnects listens again by itself.
   * @param channel At most 63 bytes of UTF-8.
   * @returns what ends it.
   * @throws TypeError inside a transaction, or behind a pooler that changes servers.
   */
  listen(channel: string, listener: ChannelListener): () => void {
    const connection = this.#usable()
    if (connection.status !== 'I')
      throw new TypeError('listen must be called outside of transaction()')
    if (this.#session.isPooled) {
      throw new TypeError('a pooler in transaction mode loses LISTEN; connect to the server itself')
    }
    const sql = Channels.listenSql(channel)
    if (this.#channels.add(channel, listener)) {
      try {
        this.exec(sql)
      } catch (error) {
        this.#channels.remove(channel, listener)
        throw error
      }
      this.#hear()
    }
    return () => {
      if (!this.#channels.remove(channel, listener) || this.#closed) return
      if (this.#session.connection.lost === undefined) this.exec(Channels.unlistenSql(channel))
    }
  }

  /**
   * Rings for what backends with `notify` tell on the channel `agent_store`, and after a loss,
   * when something may have been missed. Not behind a pooler that changes servers.
   */
  watch(ring: (event?: CommitEvent) => void): (() => void) | undefined {
    if (this.#session.isPooled || this.inTransaction) return undefined
    return this.listen(CHANNEL, {
      notification: ({ payload }) => {
        const events = eventsOf(payload)
        if (events.length === 0) ring()
        for (const event of events) ring(event)
      },
      interrupted: () => ring(),
    })
  }

  /** Let notifications alone keep the process alive, or not; at first they do not. */
  keepAlive(on: boolean): void {
    this.#channels.keepAlive = on
    this.#usable().keepAlive(on)
  }

  /** @throws TypeError inside a transaction or snapshot. */
  close(): void {
    if (this.#closed) return
    if (this.#scope.depth > 0) {
      throw new TypeError('close() must be called outside of transaction() and snapshot()')
    }
    this.#announcer?.flush()
    this.#closed = true
    this.#channels.clear()
    this.#session.connection.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  *#rows(text: SqlText, params: readonly Value[], sql: string): Generator<Row> {
    const connection = this.#usable()
    const own = connection.status === 'I'
    const portal = `agent_store_${++this.#portals}`
    if (own) {
      this.#control('BEGIN')
      this.#iteration = sql
    }
    let finished = false
    try {
      const open = () =>
        this.#call(false, () => {
          const statement = connection.prepare(text.text, params, text.vectors)
          connection.openPortal(portal, statement, params)
          return statement
        })
      let kinds: Statement['kinds']
      try {
        kinds = open().kinds
      } catch (error) {
        if (!own || !isStaleRefusal(error)) throw error
        // Nothing has run yet: once more, from the start.
        this.#control('ROLLBACK')
        this.#control('BEGIN')
        kinds = open().kinds
      }
      for (let done = false; !done; ) {
        const page = this.#call(false, () => connection.fetch(portal, kinds ?? [], PORTAL_ROWS))
        done = page.done
        for (const row of page.rows) {
          yield row
          this.#assertOpen()
        }
      }
      finished = true
    } finally {
      this.#iteration = undefined
      if (!this.#closed && connection.lost === undefined && connection.status !== 'I') {
        if (!own && !finished && connection.status === 'T') connection.closePortal(portal)
        if (own) this.#control(connection.status === 'T' ? 'COMMIT' : 'ROLLBACK', !isRead(text))
      }
    }
  }

  #enterSnapshot(): () => void {
    const own = this.#session.connection.status === 'I'
    const restrict = !this.#readOnly
    if (own) this.#control('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    else if (restrict) {
      // A transaction cannot become writable again, but a savepoint can be gone back to.
      this.#control('SAVEPOINT _agent_store_snapshot; SET TRANSACTION READ ONLY')
    }
    this.#readOnly = true
    return () => {
      this.#readOnly = !restrict
      if (this.#session.connection.status === 'I') return
      if (own) this.#control('ROLLBACK')
      else if (restrict) {
        this.#control('ROLLBACK TO _agent_store_snapshot; RELEASE _agent_store_snapshot')
      }
    }
  }

  /** The answer is taken off by the next call, or else in a moment. */
  #tell(payload: string): void {
    this.ahead(NOTIFY, [CHANNEL, payload])
    this.#told ??= setTimeout(() => {
      this.#told = undefined
      this.#giveUpAhead()
      this.#takeNews()
    }, TOLD_MS).unref()
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError('this backend is closed; open it again to go on')
  }

  /** The connection, after what has come meanwhile was looked at; a new one after a loss. */
  #usable(): PgConnection {
    this.#assertOpen()
    if (this.#iteration !== undefined) {
      throw new BackendError(
        `an iteration is open; finish it first, or iterate inside transaction() or snapshot(): ${quote(this.#iteration)}`,
      )
    }
    this.#giveUpAhead()
    const { connection } = this.#session
    try {
      connection.takeNews()
      return connection
    } catch (error) {
      const reason = lossOf(error)
      if (!this.#source.reconnect || this.#scope.depth > 0) throw reason
    }
    this.#session = this.#source.open(this.#session, this.#channels)
    this.#listenAgain()
    return this.#session.connection
  }

  #listenAgain(): void {
    const { connection } = this.#session
    connection.keepAlive(this.#channels.keepAlive)
    const names = this.#channels.names()
    if (names.length === 0) return
    try {
      for (const channel of names)
        this.#call(false, () => connection.control(Channels.listenSql(channel)))
    } catch (error) {
      connection.close() // or the next call would go on without listening
      throw error
    }
    this.#hear()
  }

  /** Take in what the server says between the calls as well. */
  #hear(): void {
    this.#session.connection.onNews(this.#channels.onNews)
    this.#takeNews() // What has come already does not ring.
  }

  /** From the event loop: the server said something, or hung up. Then the listeners are told. */
  #takeNews(): void {
    // What has come then is its answer, and is taken by whoever asks for it.
    if (this.#closed || this.#ahead !== undefined) return
    try {
      this.#session.connection.takeNews()
    } catch (error) {
      lossOf(error)
    }
  }

  #prepare(sql: string, params: readonly Value[]): { connection: PgConnection; text: SqlText } {
    const connection = this.#usable()
    this.#scope.assertAlive()
    let text = this.#sql.get(sql)
    if (text === undefined) {
      checkText('sql', sql)
      text = readSql(sql)
      if (isControl(text)) {
        throw new TypeError(
          `sql must not control transactions; use transaction() for ${quote(sql)}`,
        )
      }
      if (isCopy(text)) {
        throw new TypeError(`sql must not COPY from or to the client, got ${quote(sql)}`)
      }
      if (this.#sql.size >= SQL_KEPT) this.#sql.clear()
      this.#sql.set(sql, text)
    }
    checkRow(text, params, sql)
    if (this.#readOnly && !isRead(text)) {
      // The server would refuse it as well, and the rest of the snapshot with it.
      throw new BackendError(`a snapshot only reads; it cannot run ${quote(sql)}`, {
        driverCode: '25006',
      })
    }
    return { connection, text }
  }

  /** Run a statement; one that the server has forgotten or changed is parsed once more. */
  #run<T>(
    connection: PgConnection,
    text: SqlText,
    run: (statement: Statement) => T,
    params: readonly Value[],
  ): T {
    const doubtful = connection.status === 'I' && !isRead(text)
    for (let again = true; ; again = false) {
      const statement = this.#call(false, () => connection.prepare(text.text, params, text.vectors))
      try {
        return this.#call(doubtful, () => run(statement))
      } catch (error) {
        if (!again || !isStaleRefusal(error) || connection.status !== 'I') throw error
      }
    }
  }

  #control(sql: string, writes = true): void {
    const { connection } = this.#session
    if (sql === 'COMMIT' && connection.status === 'E') {
      throw new BackendError(
        'the transaction cannot be committed: a statement in it failed; let its error leave the callback',
      )
    }
    if (sql === 'COMMIT') this.#call(false, () => connection.takeNews())
    this.#call(writes && sql === 'COMMIT', () => connection.control(sql))
  }

  /** Take the answer that nobody asked for off the connection. */
  #giveUpAhead(): void {
    const ahead = this.#ahead
    if (ahead === undefined) return
    this.#ahead = undefined
    try {
      ahead.connection.finish(ahead.statement)
    } catch {
      // That of a hint is nobody's error; a lost connection is found by the next call.
    }
  }

  /** @param doubtful Whether something may be stored when the answer is lost. */
  #call<T>(doubtful: boolean, work: () => T): T {
    this.#giveUpAhead()
    try {
      return work()
    } catch (error) {
      throw this.#translate(error, doubtful)
    }
  }

  #translate(error: unknown, doubtful: boolean): unknown {
    if (error instanceof ServerError) {
      if (error.isUnreplicatedCommit) {
        return new InDoubtError(
          `committed on ${this.#session.name}, and on no standby that was to have it: ${error.text}`,
          { cause: error },
        )
      }
      return new BackendError(error.text, { cause: error, driverCode: error.sqlState })
    }
    if (error instanceof ChangedResultError) {
      return doubtful
        ? new InDoubtError(`the statement was run once, but ${error.message}`, { cause: error })
        : new BackendError(`the statement was run, but ${error.message}`, { cause: error })
    }
    const isLoss = error instanceof ConnectionError || error instanceof DeadlineError
    if (!isLoss || !doubtful) return error
    return new InDoubtError(
      `the answer of ${this.#session.name} was lost, what was sent may be stored: ${error.message}`,
      { cause: error },
    )
  }
}

// What is printed: no secret.
Object.defineProperty(PgBackend.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: PgBackend): string {
    return `PgBackend { ${this.server} }`
  },
})

interface Ahead {
  readonly sql: string
  readonly params: readonly Value[]
  readonly connection: PgConnection
  readonly statement: Statement
}

function areSame(some: readonly Value[], others: readonly Value[]): boolean {
  return (
    some.length === others.length &&
    some.every((value, n) => {
      const other = others[n]
      return value instanceof Uint8Array && other instanceof Uint8Array
        ? Buffer.compare(value, other) === 0
        : Object.is(value, other)
    })
  )
}

function checkRow(text: SqlText, params: readonly Value[], sql: string): void {
  checkParams(params)
  if (text.parameters > MOST_PARAMETERS) {
    throw new RangeError(
      `sql has ${text.parameters} parameters, and PostgreSQL takes ${MOST_PARAMETERS}; use execMany() or arrays for ${quote(sql)}`,
    )
  }
  if (params.length !== text.parameters) {
    throw new TypeError(
      `sql has ${text.parameters} parameters, got ${params.length} for ${quote(sql)}`,
    )
  }
}

/** Outside of a transaction, the statement can be run once more: it stored nothing. */
function isStaleRefusal(error: unknown): boolean {
  return error instanceof BackendError && isStale(error.cause)
}

function lossOf(error: unknown): StoreError {
  if (error instanceof DeadlineError || error instanceof ConnectionError) {
    return new ConnectionError(
      `the connection was lost (${error.message}); connect again, or set reconnect`,
      { cause: error, driverCode: 'driverCode' in error ? error.driverCode : undefined },
    )
  }
  throw error
}
