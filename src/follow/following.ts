/**
 * Following logs: what is there past a cursor, then what comes, each entry once and each log
 * in its order.
 *
 * A log's entries are numbered without gaps, and one becomes visible behind the one before it,
 * whoever commits first. So the cursor is how far each log was read, and nothing is skipped
 * where commits become visible in another order than they were begun. Entries are read when
 * they are asked for, a page at a time; what waits in memory is the names of logs that have
 * grown. Between different logs there is no order to keep.
 *
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type Backend,
  BusyError,
  ChainBrokenError,
  type CommitEvent,
  ConnectionError,
  chainHash,
  DeadlineError,
  type Entry,
  type Head,
  type LogHead,
  quote,
  type StoreError,
  WriterLog,
} from '../index.ts'
import type { News } from './changes.ts'
import { Consumer } from './consumer.ts'
import { CursorError } from './errors.ts'
import { type Follower, Pulse } from './pulse.ts'
import { keyOf, SelectedLogs, type Selection } from './selection.ts'

/**
 * Something that rings when a log may have grown: a `Doorbell`, or what carries one from
 * elsewhere. A ring without an event says that any log may have.
 */
export interface Bell {
  subscribe(ring: (event?: CommitEvent) => void): () => void
}

/** What to follow, from where, and how. */
export interface FollowOptions extends Selection {
  /**
   * Only what is past this: heads of logs, as `WriterLog.heads`, `headsOf` and
   * `Following.cursor` give them, or the cursor of a consumer. Logs that it does not name are
   * followed from their beginning. Default: from the beginning.
   */
  readonly after?: readonly LogHead[] | Consumer
  /** Go on for what comes. Default `true`; else it ends where the logs end. */
  readonly live?: boolean
  /** Recompute the chain as it goes. Default `false`: seqs and the link to the cursor are checked. */
  readonly verify?: boolean
  /** The database is looked at this often where no bell rings, in ms. Default 1,000. */
  readonly pollMs?: number
  /** Bells beyond those of the backend itself. */
  readonly bells?: readonly Bell[]
  /** Ends it: what waits, or else the next call, throws the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * The database cannot be asked for now: it is busy, or the connection is lost. With this,
   * following goes on when it can; without, the error ends it.
   */
  readonly onInterrupted?: (error: StoreError) => void
}

const POLL_MS = 1_000
const MOST_POLL_MS = 2 ** 31 - 1
/** Entries of one log before it is another's turn, and the event loop's. */
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
  readonly #follower: Follower
  readonly #db: Backend
  readonly #logs: SelectedLogs
  readonly #options: FollowOptions
  #cursor: Map<string, LogHead> | undefined
  /** Logs that have grown, and how far; in the order in which they are read. */
  readonly #grown = new Map<string, News>()
  #mayAllHaveGrown = true
  /** The database could not be asked; the next pulse says when it can. */
  #isInterrupted = false
  #run: Run | undefined
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
    this.#logs = new SelectedLogs(options)
    this.#options = options
    this.#follower = {
      pollMs,
      isWaiting: () => this.#wake !== undefined,
      hear: (news) => this.#hear(news),
      trouble: (error) => this.#trouble(error),
    }
  }

  /** How far each log was handed out: a cursor to go on from. JSON by `commitEventToJson`. */
  cursor(): LogHead[] {
    if (this.#run !== undefined) this.#keep(this.#run)
    return [...(this.#cursor ?? this.#readCursor()).values()]
  }

  /**
   * The next entry, as soon as there is one.
   * @throws CursorError when the store does not have what the cursor points at.
   * @throws ChainBrokenError for an entry that does not follow on the one before.
   * @throws MalformedRowError, and what the backend throws.
   */
  next(): Promise<IteratorResult<Entry, undefined>> {
    if (this.#queued === 0 && this.#state === 'open' && this.#failure === undefined) {
      try {
        const value = this.#tryTake()
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

  /** What can be had without waiting, once there is something: entries of one log, in order. */
  nextRun(most: number): Promise<Entry[]> {
    return this.#inTurn(async () => {
      const first = await this.#waitForEntry()
      const run = first === undefined ? [] : [first]
      for (let entry = first; entry !== undefined && run.length < most; ) {
        entry = this.#run === undefined ? undefined : this.#takeFrom(this.#run)
        if (entry !== undefined) run.push(entry)
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
    if (news === undefined) this.#mayAllHaveGrown = true
    else if (!this.#mayAllHaveGrown) {
      for (const log of news) if (this.#logs.has(log)) this.#note(log)
      if (this.#grown.size === 0) return
    }
    this.#wake?.()
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
        const entry = this.#tryTake()
        if (entry !== undefined) return entry
        if (this.#left <= 0) {
          this.#left = TURN
          await nextTurn()
        } else if (this.#options.live === false && this.#isAtEnd()) this.#end()
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
      Pulse.of(this.#db).waitingChanged()
    })
    this.#wake = undefined
    if (this.#state === 'open') Pulse.of(this.#db).waitingChanged()
  }

  #begin(): void {
    if (this.#state !== 'new') return
    const { signal, bells = [] } = this.#options
    signal?.throwIfAborted()
    this.#state = 'open'
    const pulse = Pulse.of(this.#db)
    pulse.join(this.#follower)
    this.#leave.push(() => pulse.leave(this.#follower))
    for (const bell of bells) this.#leave.push(bell.subscribe((event) => pulse.ring(event)))
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

  #readCursor(): Map<string, LogHead> {
    const { after = [] } = this.#options
    const heads = after instanceof Consumer ? after.cursor(this.#db) : after
    return new Map(heads.map((head) => [keyOf(head), head]))
  }

  #startCursor(): Map<string, LogHead> {
    const cursor = this.#readCursor()
    for (const head of cursor.values()) if (this.#logs.has(head)) this.#checkStored(head)
    return cursor
  }

  /** @throws CursorError when the store has something else, or nothing, at this place. */
  #checkStored(head: LogHead): void {
    const { stream, writer, seq, contentHash } = head
    const stored = WriterLog.entry(this.#db, stream, writer, seq)
    if (stored === null || Buffer.compare(stored.contentHash, contentHash) !== 0) {
      throw new CursorError(stream, writer, head, stored)
    }
  }

  #isAtEnd(): boolean {
    return !this.#mayAllHaveGrown && this.#grown.size === 0 && !this.#isInterrupted
  }

  #tryTake(): Entry | undefined {
    if (this.#isInterrupted) return undefined
    try {
      return this.#take()
    } catch (error) {
      if (!isPassing(error) || this.#options.onInterrupted === undefined) throw error
      if (this.#run !== undefined) this.#keep(this.#run)
      this.#run = undefined
      this.#mayAllHaveGrown = true
      this.#isInterrupted = true
      Pulse.of(this.#db).forget()
      this.#options.onInterrupted(error)
      return undefined
    }
  }

  /** The next entry that can be had at once; `undefined` for none, or when it is others' turn. */
  #take(): Entry | undefined {
    this.#cursor ??= this.#startCursor()
    while (this.#left > 0) {
      if (this.#run !== undefined) {
        const entry = this.#takeFrom(this.#run)
        if (entry !== undefined) return entry
      } else if (this.#db.inTransaction) {
        // Somebody's own: what is read in it may be rolled back. The next look is to wake us.
        Pulse.of(this.#db).forget()
        return undefined
      } else if (this.#mayAllHaveGrown) this.#noteAll(this.#cursor)
      else if (!this.#startRun(this.#cursor)) return undefined
    }
    return undefined
  }

  #takeFrom(run: Run): Entry | undefined {
    const { done, value } = run.entries.next()
    if (done === true) {
      this.#keep(run)
      this.#run = undefined
      return undefined
    }
    this.#check(run, value)
    run.last = value
    this.#left--
    return value
  }

  #startRun(cursor: ReadonlyMap<string, LogHead>): boolean {
    for (const [key, log] of this.#grown) {
      this.#grown.delete(key)
      const last = cursor.get(key) ?? null
      const after = last?.seq ?? 0n
      if (log.seq < after && last !== null) this.#checkStored({ ...log, ...last })
      if (log.seq <= after) continue
      const { stream, writer } = log
      const limit = Math.min(TURN, Number(log.seq - after))
      const entries = WriterLog.read(this.#db, stream, writer, { after, limit })
      this.#run = { log, key, last, first: true, entries }
      return true
    }
    return false
  }

  /** A run is over: the cursor moves, and the log goes behind the others if it has more. */
  #keep(run: Run): void {
    const { key, log, last } = run
    if (last === null || run.first) return
    const { stream, writer } = log
    // A copy: what was read may share its buffer with a whole page.
    this.#cursor?.set(key, {
      stream,
      writer,
      seq: last.seq,
      contentHash: last.contentHash.slice(),
    })
    if (last.seq < log.seq) this.#note(log)
  }

  #noteAll(cursor: ReadonlyMap<string, LogHead>): void {
    this.#mayAllHaveGrown = false
    const heads = new Map(this.#logs.heads(this.#db).map((head) => [keyOf(head), head]))
    for (const [key, last] of cursor) {
      // The log has not grown, or lost its end.
      if (this.#logs.has(last) && last.seq >= (heads.get(key)?.seq ?? 0n)) {
        this.#checkStored(last)
        heads.delete(key)
      }
    }
    for (const head of heads.values()) this.#note(head)
  }

  #note(log: News): void {
    const key = keyOf(log)
    const known = this.#grown.get(key)
    if (known === undefined || known.seq < log.seq) this.#grown.set(key, log)
  }

  /** @throws ChainBrokenError when `entry` is not the one behind the last. */
  #check(run: Run, entry: Entry): void {
    const { stream, writer } = run.log
    const seq = (run.last?.seq ?? 0n) + 1n
    const fail = (detail: string) => new ChainBrokenError(stream, writer, seq, detail)
    if (entry.seq !== seq) throw fail(`the entry is missing, seq ${entry.seq} follows`)
    const { verify = false } = this.#options
    if (run.first || verify) {
      const before = run.last?.contentHash ?? null
      if (!isSame(entry.prevHash, before)) {
        throw fail('prev_hash does not link to the entry before')
      }
      run.first = false
    }
    if (verify && !isSame(chainHash(entry.prevHash, entry.payload), entry.contentHash)) {
      throw fail('content_hash does not match the payload (edited)')
    }
  }
}

/** The entries of one log that are being handed out. */
interface Run {
  readonly log: News
  readonly key: string
  readonly entries: IterableIterator<Entry>
  last: Head | null
  first: boolean
}

/** It may be otherwise the next time. @internal */
export function isPassing(error: unknown): error is StoreError {
  return (
    error instanceof BusyError || error instanceof ConnectionError || error instanceof DeadlineError
  )
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b
  return Buffer.compare(a, b) === 0
}
