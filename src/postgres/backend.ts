/**
 * The backend on a PostgreSQL server, as synchronous as the one on a file.
 *
 * What a call acknowledges was committed as the server is configured to. Every wait has a
 * deadline. When the connection is lost, the call at hand throws at once, and says whether it
 * can have been stored; nothing is ever sent twice on its own account.
 *
 * @module
 */
import { quote, TransactionScope } from '#shared'
import { type Backend, BackendError, type CommitEvent, type Row, type Value } from '../index.ts'
import { type ChannelListener, Channels } from './channels.ts'
import { LastingSession, type SessionSource } from './lasting-session.ts'
import { Announcer, CHANNEL, eventsOf, NOTIFY } from './notify.ts'
import { openPglite, type Pglite, type PgliteOptions } from './pglite.ts'
import { portalRows } from './portal-rows.ts'
import type { Statement } from './protocol/statement.ts'
import { PumpWorker } from './pump/pump-worker.ts'
import { connectToAny } from './servers.ts'
import { type PgOptions, settle } from './settings/options.ts'
import { checkRow, SqlCache } from './sql-cache.ts'
import { isRead, type SqlText } from './sql-text.ts'

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
  readonly #scope: TransactionScope
  readonly #session: LastingSession
  readonly #announcer: Announcer | undefined
  readonly #sql = new SqlCache()
  #portals = 0
  #readOnly = false

  /** @internal */
  constructor(source: SessionSource) {
    this.#scope = new TransactionScope({
      begin: 'BEGIN ISOLATION LEVEL READ COMMITTED',
      control: (sql) => this.#session.control(sql),
      isIn: () => !this.#session.isIdle,
      enterSnapshot: () => this.#enterSnapshot(),
    })
    this.#session = new LastingSession(source, this.#scope)
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
    this.#session.assertOpen()
    return !this.#session.isIdle
  }

  exec(sql: string, params: readonly Value[] = []): number {
    const text = this.#prepare(sql, params)
    return this.#session.run(text, params, (connection, statement) => {
      refuseRows(statement, sql)
      return connection.run(statement, params).count
    })
  }

  execMany(sql: string, rows: readonly (readonly Value[])[]): number {
    const [first] = rows
    if (first === undefined) return 0
    const text = this.#prepare(sql, first)
    for (const row of rows) checkRow(text, row, sql)
    return this.#session.run(text, first, (connection, statement) => {
      refuseRows(statement, sql)
      const calls = rows.map(
        (row) => [connection.prepare(text.text, row, text.vectors), row] as const,
      )
      return connection.runMany(calls).count
    })
  }

  query(sql: string, params: readonly Value[] = []): Row[] {
    const rows = this.#session.finish(sql, params)
    if (rows !== undefined) return rows
    const text = this.#prepare(sql, params)
    return this.#session.run(
      text,
      params,
      (connection, statement) => connection.run(statement, params).rows,
    )
  }

  ahead(sql: string, params: readonly Value[]): void {
    const text = this.#prepare(sql, params)
    if (!isRead(text)) throw new TypeError(`sql must only read, got ${quote(sql)}`)
    this.#session.begin(sql, text, params)
  }

  /**
   * Rows are fetched 500 at a time. Outside of a transaction the iteration is one by itself,
   * and the connection does nothing else until it is finished or returned from.
   */
  iterate(sql: string, params: readonly Value[] = []): IterableIterator<Row> {
    const text = this.#prepare(sql, params)
    const portal = `agent_store_${++this.#portals}`
    return portalRows(this.#session, { sql, text, params, portal })
  }

  transaction<T>(work: () => T): T {
    this.#session.usable()
    return this.#scope.transaction(work)
  }

  snapshot<T>(work: () => T): T {
    this.#session.usable()
    return this.#scope.snapshot(work)
  }

  afterCommit(action: () => void): void {
    this.#session.assertOpen()
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
    const session = this.#session
    session.usable()
    if (!session.isIdle) throw new TypeError('listen must be called outside of transaction()')
    if (session.isPooled) {
      throw new TypeError('a pooler in transaction mode loses LISTEN; connect to the server itself')
    }
    const { channels } = session
    const sql = Channels.listenSql(channel)
    if (channels.add(channel, listener)) {
      try {
        this.exec(sql)
      } catch (error) {
        channels.remove(channel, listener)
        throw error
      }
      session.hear()
    }
    return () => {
      if (!channels.remove(channel, listener) || session.isClosed) return
      if (session.connection.lost === undefined) this.exec(Channels.unlistenSql(channel))
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
    this.#session.channels.keepAlive = on
    this.#session.usable().keepAlive(on)
  }

  /**
   * Run `work`, in which the server may take longer for an answer than `deadlineMs`. A server that
   * is gone is then noticed by TCP alone, which may take some minutes.
   */
  patiently<T>(work: () => T): T {
    return this.#session.usable().patiently(work)
  }

  /** @throws TypeError inside a transaction or snapshot. */
  close(): void {
    if (this.#session.isClosed) return
    if (this.#scope.depth > 0) {
      throw new TypeError('close() must be called outside of transaction() and snapshot()')
    }
    this.#announcer?.flush()
    this.#session.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #enterSnapshot(): () => void {
    const session = this.#session
    const own = session.isIdle
    const restrict = !this.#readOnly
    if (own) session.control('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    else {
      // A transaction cannot become writable again, but a savepoint can be gone back to; so are
      // settings that were made for this snapshot alone.
      const readOnly = restrict ? '; SET TRANSACTION READ ONLY' : ''
      session.control(`SAVEPOINT _agent_store_snapshot${readOnly}`)
    }
    this.#readOnly = true
    return () => {
      this.#readOnly = !restrict
      if (session.isIdle) return
      if (own) session.control('ROLLBACK')
      else {
        session.control('ROLLBACK TO _agent_store_snapshot; RELEASE _agent_store_snapshot')
      }
    }
  }

  #tell(payload: string): void {
    this.ahead(NOTIFY, [CHANNEL, payload])
    this.#session.giveUpSoon()
  }

  #prepare(sql: string, params: readonly Value[]): SqlText {
    this.#session.usable()
    this.#scope.assertAlive()
    const text = this.#sql.read(sql)
    checkRow(text, params, sql)
    if (this.#readOnly && !isRead(text)) {
      // The server would refuse it as well, and the rest of the snapshot with it.
      throw new BackendError(`a snapshot only reads; it cannot run ${quote(sql)}`, {
        driverCode: '25006',
      })
    }
    return text
  }
}

// What is printed: no secret.
Object.defineProperty(PgBackend.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: PgBackend): string {
    return `PgBackend { ${this.server} }`
  },
})

function refuseRows({ kinds }: Statement, sql: string): void {
  if (kinds !== undefined) throw new TypeError(`sql returns rows; use query() for ${quote(sql)}`)
}
