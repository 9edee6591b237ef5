/**
 * Nested transactions over a connection that only knows `BEGIN` and `SAVEPOINT`.
 *
 * Keeps three promises for any backend: nothing of a `work` that threw is stored; what
 * waits for the commit runs after the outermost one and never after a rollback; once the
 * database itself gave a transaction up, nothing more is run as if it were still open.
 *
 * @module
 */
import { checkFunction } from './arguments.ts'
import { BackendError } from './errors.ts'
import { throwUncaught } from './uncaught.ts'

/** What the scope needs of a connection. */
export interface TransactionControl {
  /** Run transaction control. Errors come as the backend's own typed errors. */
  control(sql: string): void
  isIn(): boolean
  /** What begins a write transaction: `BEGIN IMMEDIATE`, `BEGIN`, … */
  readonly begin: string
  /**
   * Hold on to one state of the database and refuse every write; inside of a transaction,
   * within it.
   * @returns a function that ends the snapshot and restores the connection.
   */
  enterSnapshot(): () => void
}

/** The transactions of one connection, the innermost last. */
export class TransactionScope {
  readonly #connection: TransactionControl
  /** For each open level, what is to run once it is durable. */
  readonly #levels: (() => void)[][] = []
  #snapshots = 0
  /** Actions of commits that are durable, in the order of the commits. */
  readonly #due: (() => void)[] = []
  #isRunning = false

  constructor(connection: TransactionControl) {
    this.#connection = connection
  }

  /** How many transactions, savepoints and snapshots of ours are open. */
  get depth(): number {
    return this.#levels.length + this.#snapshots
  }

  /**
   * Refuse to run anything in a transaction that is gone. SQLite rolls back by itself on a
   * full disk, for one; without this check the rest of `work` would commit row by row.
   */
  assertAlive(): void {
    if (this.depth > 0 && !this.#connection.isIn()) {
      throw new BackendError(
        'the transaction has ended (the database rolled it back, or it was ended on the raw ' +
          'connection); let the error leave the callback',
      )
    }
  }

  /** See `Backend.transaction`. */
  transaction<T>(work: () => T): T {
    checkSynchronous(work)
    if (this.#snapshots > 0) {
      throw new TypeError('a transaction cannot start inside a snapshot, which only reads')
    }
    this.assertAlive()
    // A transaction begun on the raw connection is joined like one of ours.
    const savepoint = this.#connection.isIn() ? `_agent_store_${this.#levels.length}` : undefined
    this.#connection.control(
      savepoint === undefined ? this.#connection.begin : `SAVEPOINT ${savepoint}`,
    )
    const actions: (() => void)[] = []
    this.#levels.push(actions)
    let result: T
    try {
      result = work()
      checkResult(result)
      this.assertAlive()
      this.#connection.control(savepoint === undefined ? 'COMMIT' : `RELEASE ${savepoint}`)
    } catch (error) {
      this.#rollback(savepoint, error)
      throw error
    } finally {
      this.#levels.pop()
    }
    if (savepoint === undefined) this.#run(actions)
    // Inside a foreign transaction there is no outer level and no way to see it commit.
    else for (const action of actions) this.#levels.at(-1)?.push(action)
    return result
  }

  /** See `Backend.snapshot`. */
  snapshot<T>(work: () => T): T {
    checkSynchronous(work)
    this.assertAlive()
    const leave = this.#connection.enterSnapshot()
    this.#snapshots++
    try {
      const result = work()
      checkResult(result)
      return result
    } finally {
      this.#snapshots--
      leave()
    }
  }

  /** See `Backend.afterCommit`. */
  afterCommit(action: () => void): void {
    const level = this.#levels.at(-1)
    if (level !== undefined) level.push(action)
    // A snapshot has nothing to commit.
    else if (this.#snapshots > 0 || !this.#connection.isIn()) this.#run([action])
  }

  /**
   * Run what waited for a commit. An action that commits again, as a subscriber that appends does,
   * has the actions of its own commit run behind those of the first.
   */
  #run(actions: readonly (() => void)[]): void {
    for (const action of actions) this.#due.push(action)
    if (this.#isRunning) return
    this.#isRunning = true
    // The list grows while it is gone through.
    for (const action of this.#due) {
      try {
        action()
      } catch (error) {
        throwUncaught(error)
      }
    }
    this.#due.length = 0
    this.#isRunning = false
  }

  #rollback(savepoint: string | undefined, error: unknown): void {
    if (!this.#connection.isIn()) return
    try {
      if (savepoint === undefined) this.#connection.control('ROLLBACK')
      else {
        this.#connection.control(`ROLLBACK TO ${savepoint}`)
        this.#connection.control(`RELEASE ${savepoint}`)
      }
    } catch (failure) {
      throw new BackendError('the rollback failed; close this backend', {
        cause: new AggregateError([error, failure]),
      })
    }
  }
}

function checkSynchronous(work: () => unknown): void {
  checkFunction('work', work)
  const kind = Object.prototype.toString.call(work)
  if (kind === '[object AsyncFunction]') refuseAsynchronous()
  if (kind !== '[object Function]')
    throw new TypeError(`work must be a plain function, got ${kind}`)
}

function checkResult(result: unknown): void {
  if (typeof result !== 'object' || result === null || !('then' in result)) return
  if (typeof result.then === 'function') refuseAsynchronous()
}

function refuseAsynchronous(): never {
  throw new TypeError(
    'work must be synchronous, got a callback that returns a Promise; rolled back. ' +
      'Await first, then write in one synchronous callback',
  )
}
