/**
 * The callback form of following: each entry is handed to a synchronous callback inside the
 * transaction that moves the consumer's cursor past it.
 *
 * What the callback writes to the same database and the move commit together or not at all, so
 * each entry counts exactly once, through crashes, and however many processes of one consumer
 * there are.
 *
 * @module
 */
import { quote } from '#shared'
import { type Backend, type Entry, type Head, InDoubtError } from '../index.ts'
import type { Consumer } from './consumer.ts'
import { StaleCursorError } from './errors.ts'
import { type Following, follow, isPassing } from './follow.ts'
import type { FollowOptions } from './options.ts'

/** How to consume. */
export interface ConsumeOptions extends Omit<FollowOptions, 'after'> {
  /** At most so many entries of one log share a transaction, from 1 to 10,000. Default 100. */
  readonly batch?: number
}

const BATCH = 100
const MOST_BATCH = 10_000

/**
 * Hand each entry past the cursor of `consumer` to `handle`, and move the cursor past it, in
 * one transaction; then wait for more.
 *
 * When another process of the same consumer has gone ahead, or the answer to a commit was lost,
 * it goes on from the stored cursor. What `handle` throws undoes its batch, ends it all and
 * passes through.
 * @returns when the signal has aborted, by throwing its reason; with `live: false` at the end.
 * @throws as `Following.next`; TypeError for a callback that returns a Promise.
 *
 * @example
 * ```ts
 * await consume(db, new Consumer('billing'), { stream: 'conv:demo' }, (turn) => {
 *   db.exec('INSERT INTO bill VALUES (?, ?)', [turn.writer, turn.seq])
 * })
 * ```
 */
export async function consume(
  db: Backend,
  consumer: Consumer,
  options: ConsumeOptions,
  handle: (entry: Entry) => void,
): Promise<void> {
  const { batch = BATCH } = options
  if (!Number.isInteger(batch) || batch < 1 || batch > MOST_BATCH) {
    throw new RangeError(`batch must be from 1 to ${MOST_BATCH}, got ${quote(batch)}`)
  }
  while ((await consumeOn(db, consumer, options, batch, handle)) === 'moved');
}

/** @returns `'moved'` when the stored cursor is not where it was taken to be. */
async function consumeOn(
  db: Backend,
  consumer: Consumer,
  options: ConsumeOptions,
  batch: number,
  handle: (entry: Entry) => void,
): Promise<'moved' | 'ended'> {
  const following = follow(db, { ...options, after: consumer })
  try {
    return await handleRuns(db, consumer, options, batch, handle, following)
  } finally {
    await following[Symbol.asyncDispose]()
  }
}

async function handleRuns(
  db: Backend,
  consumer: Consumer,
  options: ConsumeOptions,
  batch: number,
  handle: (entry: Entry) => void,
  following: Following,
): Promise<'moved' | 'ended'> {
  for (;;) {
    const run = await following.nextRun(batch)
    const [first] = run
    const last = run.at(-1)
    if (first === undefined || last === undefined) return 'ended'
    const before: Head | null =
      first.prevHash === null ? null : { seq: first.seq - 1n, contentHash: first.prevHash }
    try {
      db.transaction(() => {
        // Before the handler runs: where another process has moved the cursor, it must not.
        consumer.advance(db, last, before)
        for (const entry of run) {
          const result: unknown = handle(entry)
          if (typeof result === 'object' && result !== null && 'then' in result) {
            throw new TypeError('handle must be synchronous, got a callback that returns a Promise')
          }
        }
      })
    } catch (error) {
      if (error instanceof StaleCursorError) return 'moved'
      const isOver = !(error instanceof InDoubtError) && !isPassing(error)
      if (isOver || options.onInterrupted === undefined) throw error
      // Committed or not: the stored cursor tells.
      options.onInterrupted(error)
      return 'moved'
    }
  }
}
