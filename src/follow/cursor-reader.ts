/**
 * Reading logs on from a cursor: what can be had now, each entry once and each log in its order.
 *
 * A log's entries are numbered without gaps, and one becomes visible behind the one before it,
 * whoever commits first. So the cursor is how far each log was read, and nothing is skipped
 * where commits become visible in another order than they were begun. Entries are read when
 * they are asked for, a page at a time; what is kept in memory is the names of logs that have
 * grown.
 *
 * @module
 */
import { logKey, sameBytes } from '#shared'
import {
  type Backend,
  ChainBrokenError,
  chainHash,
  type Entry,
  type Head,
  type LogHead,
  WriterLog,
} from '../index.ts'
import { AnnouncedHeads } from './announced-heads.ts'
import type { News } from './changes.ts'
import { Consumer } from './consumer.ts'
import { CursorError } from './errors.ts'
import type { FollowOptions } from './options.ts'
import { SelectedLogs } from './selection.ts'

/** Entries of one log before it is another's turn. */
const TURN = 512
/** Names of logs to keep in mind that bells have named, where the heads would say the same. */
const MOST_NAMED = 65_536

/** The entries of one log that are being handed out. */
interface Run {
  readonly log: News
  readonly key: string
  readonly entries: IterableIterator<Entry>
  last: Head | null
  isFirst: boolean
}

/** A cursor that moves over logs as their entries are taken. */
export class CursorReader {
  readonly #db: Backend
  readonly #logs: SelectedLogs
  readonly #options: FollowOptions
  readonly #announced = new AnnouncedHeads()
  #cursor: Map<string, LogHead> | undefined
  /** Logs that have grown, and how far; in the order in which they are read. */
  readonly #grown = new Map<string, News>()
  #mayAllHaveGrown = true
  #run: Run | undefined

  constructor(db: Backend, options: FollowOptions) {
    this.#db = db
    this.#logs = new SelectedLogs(options)
    this.#options = options
  }

  /** Nothing is left that is known of. */
  get isAtEnd(): boolean {
    return !this.#mayAllHaveGrown && this.#grown.size === 0 && this.#run === undefined
  }

  /** How far each log was handed out. */
  cursor(): LogHead[] {
    if (this.#run !== undefined) this.#keep(this.#run)
    return [...(this.#cursor ?? this.#readCursor()).values()]
  }

  /**
   * Logs may have grown; any, where `news` is undefined.
   * @returns whether that is of interest.
   */
  hear(news: readonly News[] | undefined): boolean {
    if (news === undefined) {
      this.#mayAllHaveGrown = true
      return true
    }
    for (const log of news) {
      if (!this.#logs.has(log)) continue
      this.#announced.add(log)
      this.#note(log)
    }
    if (this.#grown.size > MOST_NAMED) {
      this.#grown.clear()
      this.#mayAllHaveGrown = true
    }
    return !this.isAtEnd
  }

  /** What was heard of is not to be relied on: look at all logs again. */
  startOver(): void {
    if (this.#run !== undefined) this.#keep(this.#run)
    this.#run = undefined
    this.#mayAllHaveGrown = true
  }

  /** The next entry that can be had now; `undefined` for none. */
  take(): Entry | undefined {
    this.#cursor ??= this.#startCursor()
    for (;;) {
      const entry = this.takeOfSameLog()
      if (entry !== undefined) return entry
      if (this.#mayAllHaveGrown) this.#noteAll(this.#cursor)
      else if (!this.#startRun(this.#cursor)) return undefined
    }
  }

  /** The next entry of the log that the last one was of, as far as it is at hand. */
  takeOfSameLog(): Entry | undefined {
    const run = this.#run
    if (run === undefined) return undefined
    const { done, value } = run.entries.next()
    if (done === true) {
      this.#run = undefined
      this.#keep(run)
      return undefined
    }
    this.#check(run, value)
    run.last = value
    return value
  }

  #readCursor(): Map<string, LogHead> {
    const { after = [] } = this.#options
    const heads = after instanceof Consumer ? after.cursor(this.#db) : after
    return new Map(heads.map((head) => [logKey(head), head]))
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
    if (stored === null || !sameBytes(stored.contentHash, contentHash)) {
      throw new CursorError(stream, writer, head, stored)
    }
  }

  #noteAll(cursor: ReadonlyMap<string, LogHead>): void {
    this.#mayAllHaveGrown = false
    const heads = new Map(this.#logs.heads(this.#db).map((head) => [logKey(head), head]))
    for (const [key, last] of cursor) {
      // The log has not grown, or lost its end.
      if (this.#logs.has(last) && last.seq >= (heads.get(key)?.seq ?? 0n)) {
        this.#checkStored(last)
        heads.delete(key)
      }
    }
    for (const head of heads.values()) {
      this.#note({ stream: head.stream, writer: head.writer, seq: head.seq })
    }
  }

  #note(log: News): void {
    const key = logKey(log)
    const known = this.#grown.get(key)
    if (known === undefined || known.seq < log.seq) this.#grown.set(key, log)
  }

  #startRun(cursor: ReadonlyMap<string, LogHead>): boolean {
    for (const [key, log] of this.#grown) {
      this.#grown.delete(key)
      const last = cursor.get(key) ?? null
      const after = last?.seq ?? 0n
      if (log.seq < after && last !== null) this.#checkStored({ ...log, ...last })
      if (log.seq <= after || this.#isForked(key, after)) continue
      const limit = Math.min(TURN, Number(log.seq - after))
      const entries = WriterLog.read(this.#db, log.stream, log.writer, { after, limit })
      this.#run = { log, key, last, isFirst: true, entries }
      return true
    }
    return false
  }

  /** Whether somebody announced an entry behind `after` that is another one here. */
  #isForked(key: string, after: bigint): boolean {
    const { onFork } = this.#options
    const fork = this.#announced.forkOf(this.#db, key, after)
    if (fork === undefined) return false
    if (fork.isNew) {
      if (onFork === undefined) throw fork.error
      onFork(fork.error)
    }
    return true
  }

  /** What was handed out of a run moves the cursor; if the log has more, it goes behind others. */
  #keep(run: Run): void {
    const { key, log, last, isFirst } = run
    if (last === null || isFirst) return
    const { stream, writer } = log
    const { seq, contentHash } = last
    // A copy: what was read may share its buffer with a whole page.
    this.#cursor?.set(key, { stream, writer, seq, contentHash: contentHash.slice() })
    if (seq < log.seq) this.#note(log)
  }

  /** @throws ChainBrokenError when `entry` is not the one behind the last. */
  #check(run: Run, entry: Entry): void {
    const { stream, writer } = run.log
    const seq = (run.last?.seq ?? 0n) + 1n
    const fail = (detail: string) => new ChainBrokenError(stream, writer, seq, detail)
    if (entry.seq !== seq) throw fail(`the entry is missing, seq ${entry.seq} follows`)
    const { verify = false } = this.#options
    if (run.isFirst || verify) {
      const before = run.last?.contentHash ?? null
      if (!sameBytes(entry.prevHash, before)) {
        throw fail('prev_hash does not link to the entry before')
      }
      run.isFirst = false
    }
    if (verify && !sameBytes(chainHash(entry.prevHash, entry.payload), entry.contentHash)) {
      throw fail('content_hash does not match the payload (edited)')
    }
  }
}
