/**
 * The session of a backend, which lasts while connections come and go.
 *
 * When the connection is lost, the call at hand throws; the next one outside of a transaction
 * connects again, where that is wanted, and listens again before it does anything else. Nothing
 * is ever sent twice on its own account, but for a statement that the server refused unrun.
 *
 * @module
 */
import { quote, type TransactionScope } from '#shared'
import { BackendError, ClosedError, type Row, type Value } from '../index.ts'
import { Channels } from './channels.ts'
import type { PgConnection } from './connection.ts'
import { isStaleRefusal, lossOf, mayBeStored, translate } from './lost-answer.ts'
import type { Statement } from './protocol/statement.ts'
import { Ahead } from './read-ahead.ts'
import type { Session } from './servers.ts'
import type { SqlText } from './sql-text.ts'

/** Where sessions come from. */
export interface SessionSource {
  readonly reconnect: boolean
  /** Whether its commits are told to those who listen. */
  readonly notify: boolean
  open(last: Session | undefined, channels: Channels): Session
}

/** A session, and the one after it. */
export class LastingSession {
  readonly channels: Channels
  readonly #source: SessionSource
  readonly #scope: Pick<TransactionScope, 'depth'>
  readonly #ahead = new Ahead()
  #session: Session
  #isClosed = false
  /** The SQL of an iteration that opened the transaction by itself, and is not finished. */
  iteration: string | undefined

  /** @param scope Nothing reconnects inside of it. */
  constructor(source: SessionSource, scope: Pick<TransactionScope, 'depth'>) {
    this.#source = source
    this.#scope = scope
    this.channels = new Channels(() => this.#takeNews())
    this.#session = source.open(undefined, this.channels)
  }

  /** For messages: `user@host:port/database`. */
  get name(): string {
    return this.#session.name
  }

  /** Whether the server may be another one after each transaction. */
  get isPooled(): boolean {
    return this.#session.isPooled
  }

  /** The connection at hand, which may be lost. */
  get connection(): PgConnection {
    return this.#session.connection
  }

  get isIdle(): boolean {
    return this.connection.status === 'I'
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  assertOpen(): void {
    if (this.#isClosed) throw new ClosedError('this backend is closed; open it again to go on')
  }

  /** The connection, after what has come meanwhile was looked at; a new one after a loss. */
  usable(): PgConnection {
    this.assertOpen()
    if (this.iteration !== undefined) {
      throw new BackendError(
        `an iteration is open; finish it first, or iterate inside transaction() or snapshot(): ${quote(this.iteration)}`,
      )
    }
    this.#ahead.giveUp()
    const { connection } = this
    try {
      connection.takeNews()
      return connection
    } catch (error) {
      const reason = lossOf(error)
      if (!this.#source.reconnect || this.#scope.depth > 0) throw reason
    }
    this.#session = this.#source.open(this.#session, this.channels)
    this.#listenAgain()
    return this.connection
  }

  /**
   * Do something with the connection; its errors come as typed ones.
   * @param doubtful Whether something may be stored when the answer is lost.
   */
  call<T>(doubtful: boolean, work: () => T): T {
    this.#ahead.giveUp()
    try {
      return work()
    } catch (error) {
      throw translate(error, this.name, doubtful)
    }
  }

  /** Run a statement; one that the server has forgotten or changed is parsed once more. */
  run<T>(
    text: SqlText,
    params: readonly Value[],
    work: (connection: PgConnection, statement: Statement) => T,
  ): T {
    const { connection } = this
    const doubtful = mayBeStored(text, this.isIdle)
    for (let again = true; ; again = false) {
      const statement = this.call(false, () => connection.prepare(text.text, params, text.vectors))
      try {
        return this.call(doubtful, () => work(connection, statement))
      } catch (error) {
        if (!again || !isStaleRefusal(error) || connection.status !== 'I') throw error
      }
    }
  }

  /** Run transaction control. */
  control(sql: string, writes = true): void {
    const { connection } = this
    if (sql === 'COMMIT' && connection.status === 'E') {
      throw new BackendError(
        'the transaction cannot be committed: a statement in it failed; let its error leave the callback',
      )
    }
    if (sql === 'COMMIT') this.call(false, () => connection.takeNews())
    this.call(writes && sql === 'COMMIT', () => connection.control(sql))
  }

  /** Send a read that the next call may ask for. */
  begin(sql: string, text: SqlText, params: readonly Value[]): void {
    const { connection } = this
    const statement = this.call(false, () => connection.prepare(text.text, params, text.vectors))
    this.call(false, () => connection.begin(statement, params))
    this.#ahead.hold({ sql, params, connection, statement })
  }

  /** The rows of the read that was begun, if it was this one, and was not refused as stale. */
  finish(sql: string, params: readonly Value[]): Row[] | undefined {
    const begun = this.#ahead.take(sql, params)
    if (begun === undefined) return undefined
    const { connection, statement } = begun
    try {
      return this.call(false, () => connection.finish(statement))
    } catch (error) {
      if (!isStaleRefusal(error) || connection.status !== 'I') throw error
      return undefined
    }
  }

  /** The answer to what was begun is taken off by the next call, or else in a moment. */
  giveUpSoon(): void {
    this.#ahead.giveUpSoon(() => this.#takeNews())
  }

  /** Take in what the server says between the calls as well. */
  hear(): void {
    this.connection.onNews(this.channels.onNews)
    this.#takeNews() // What has come already does not ring.
  }

  close(): void {
    this.#isClosed = true
    this.channels.clear()
    this.connection.close()
  }

  #listenAgain(): void {
    const { connection } = this
    connection.keepAlive(this.channels.keepAlive)
    const names = this.channels.names()
    if (names.length === 0) return
    try {
      for (const channel of names)
        this.call(false, () => connection.control(Channels.listenSql(channel)))
    } catch (error) {
      connection.close() // or the next call would go on without listening
      throw error
    }
    this.hear()
  }

  /** From the event loop: the server said something, or hung up. Then the listeners are told. */
  #takeNews(): void {
    // What has come then is its answer, and is taken by whoever asks for it.
    if (this.#isClosed || this.#ahead.isPending) return
    try {
      this.connection.takeNews()
    } catch (error) {
      lossOf(error)
    }
  }
}
