/**
 * Following logs: what is there past a cursor, then what comes.
 *
 * Entries are handed out one at a time, when they are asked for; in between it waits for
 * the database to wake it, and lets the event loop turn. Between different logs there is no order
 * to keep.
 *
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { quote } from '#shared'
import {
  type Backend,
  BusyError,
  ConnectionError,
  DeadlineError,
  type Entry,
  type LogHead,
  type StoreError,
} from '../index.ts'
import type { News } from './changes.ts'
import { CursorReader } from './cursor-reader.ts'
import type { FollowOptions } from './options.ts'
import { type Follower, Wakeups } from './wakeups.ts'

const POLL_MS = 1_000
const MOST_POLL_MS = 2 ** 31 - 1
/** Entries in a row before the event loop has its turn. */
const TURN = 512

/**
 * Follow logs; see {@link FollowOptions}.
 * @throws TypeError, RangeError for options that cannot be.
 *
 * @example
 * ```ts
 * for await (const turn of follow(db, { stream: 'conv:demo' })) {
 *   console.log(turn.writer, turn.seq)
 * }
 * ```
 */
export function follow(db: Backend, options: FollowOptions = {}): Following {
  return new Following(db, options)
}

/** An iteration over entries that does not end by itself; made by {@link follow}. */
export class Following implements AsyncIterableIterator<Entry> {
  readonly #db: Backend
  readonly #options: FollowOptions
  readonly #reader: CursorReader
  readonly #follower: Follower
  /** The database could not be asked; the next look says when it can. */
  #isInterrupted = false
  #left = TURN
  #state: 'new' | 'open' | 'ended' = 'new'
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined
  #queue: Promise<void> = Promise.resolve()
  #queued = 0
  readonly #leave: (() => void)[] = []

  /** @internal */
  constructor(db: Backend, options: FollowOptions) {
    const { pollMs = POLL_MS } = options
    if (!Number.isInteger(pollMs) || pollMs < 1 || pollMs > MOST_POLL_MS) {
      throw new RangeError(`pollMs must be from 1 to ${MOST_POLL_MS}, got ${quote(pollMs)}`)
    }
    this.#db = db
    this.#options = options
    this.#reader = new CursorReader(db, options)
    this.#follower = {
      pollMs,
      isWaiting: () => this.#wake !== undefined,
      hear: (news) => this.#hear(news),
      trouble: (error) => this.#trouble(error),
    }
  }

  /** How far each log was handed out: a cursor to go on from. JSON by `commitEventToJson`. */
  cursor(): LogHead[] {
    return this.#reader.cursor()
  }

  /**
   * The next entry, as soon as there is one.
   * @throws CursorError when the store does not have what the cursor points at.
   * @throws ForkError when a bell announced another entry, and `onFork` is not there to be told.
   * @throws ChainBrokenError for an entry that does not follow on the one before.
   * @throws MalformedRowError, and what the backend throws.
   */
  next(): Promise<IteratorResult<Entry, undefined>> {
    // The common case, without a promise more than is handed out.
    if (this.#queued === 0 && this.#state === 'open' && this.#failure === undefined) {
      try {
        const value = this.#take()
        if (value !== undefined) return Promise.resolve({ done: false, value })
      } catch (error) {
        this.#end()
        return Promise.reject(error)
      }
    }
    return this.#inTurn(async () => {
      const value = await this.#waitForEntry()
      return value === undefined ? { done: true, value } : { done: false, value }
    })
  }

  /**
   * What can be had without waiting, once there is something: entries of one log, in order, at
   * most `most`; none at the end.
   * @throws as {@link Following.next}.
   */
  nextRun(most: number): Promise<Entry[]> {
    return this.#inTurn(async () => {
      const run: Entry[] = []
      let entry = await this.#waitForEntry()
      while (entry !== undefined && run.push(entry) < most) {
        entry = this.#reader.takeOfSameLog()
        this.#left--
      }
      return run
    })
  }

  return(): Promise<IteratorResult<Entry, undefined>> {
    this.#end()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#end()
    return Promise.resolve()
  }

  #hear(news: readonly News[] | undefined): void {
    this.#isInterrupted = false
    if (this.#reader.hear(news)) this.#wake?.()
  }

  #trouble(error: StoreError): void {
    if (isPassing(error) && this.#options.onInterrupted !== undefined) {
      this.#options.onInterrupted(error)
    } else {
      this.#failure = { error }
      this.#wake?.()
    }
  }

  /** One call after the other, as they were made. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queued++
    const leave = () => void this.#queued--
    this.#queue = done.then(leave, leave)
    return done
  }

  async #waitForEntry(): Promise<Entry | undefined> {
    try {
      this.#begin()
      while (this.#state === 'open') {
        if (this.#failure !== undefined) throw this.#failure.error
        const entry = this.#take()
        if (entry !== undefined) return entry
        if (this.#left <= 0) {
          this.#left = TURN
          await nextTurn()
        } else if (this.#isAtEnd()) this.#end()
        else await this.#sleep()
      }
      return undefined
    } catch (error) {
      this.#end()
      throw error
    }
  }

  async #sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      Wakeups.of(this.#db).waitingChanged()
    })
    this.#wake = undefined
    if (this.#state === 'open') Wakeups.of(this.#db).waitingChanged()
  }

  #begin(): void {
    if (this.#state !== 'new') return
    const { signal, bells = [] } = this.#options
    signal?.throwIfAborted()
    this.#state = 'open'
    const wakeups = Wakeups.of(this.#db)
    wakeups.join(this.#follower)
    this.#leave.push(() => wakeups.leave(this.#follower))
    for (const bell of bells) this.#leave.push(bell.subscribe((event) => wakeups.ring(event)))
    if (signal !== undefined) {
      const abort = () => {
        this.#failure = { error: signal.reason }
        this.#wake?.()
      }
      signal.addEventListener('abort', abort)
      this.#leave.push(() => signal.removeEventListener('abort', abort))
    }
  }

  #end(): void {
    this.#state = 'ended'
    for (const leave of this.#leave.splice(0)) leave()
    this.#wake?.()
  }

  #isAtEnd(): boolean {
    return this.#options.live === false && !this.#isInterrupted && this.#reader.isAtEnd
  }

  /** The next entry that can be had at once; `undefined` for none, or when it is others' turn. */
  #take(): Entry | undefined {
    if (this.#isInterrupted || this.#left <= 0) return undefined
    this.#left--
    try {
      const entry = this.#reader.takeOfSameLog()
      if (entry !== undefined) return entry
      if (this.#db.inTransaction) {
        // Somebody's own: what is read in it may be rolled back. The next look is to wake us.
        Wakeups.of(this.#db).forget()
        return undefined
      }
      return this.#reader.take()
    } catch (error) {
      if (!isPassing(error) || this.#options.onInterrupted === undefined) throw error
      this.#reader.startOver()
      this.#isInterrupted = true
      Wakeups.of(this.#db).forget()
      this.#options.onInterrupted(error)
      return undefined
    }
  }
}

/** It may be otherwise the next time. @internal */
export function isPassing(error: unknown): error is StoreError {
  return (
    error instanceof BusyError || error instanceof ConnectionError || error instanceof DeadlineError
  )
}
