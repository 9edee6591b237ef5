/**
 * The commit doorbell: tells the subscribers of this process that an entry is there.
 *
 * An event is a causal pointer, `(stream, writer, seq)` and the hash found there, never
 * the payload and never a timestamp. A bell is a hint and the log is the truth: who
 * misses a ring reads the entries past its last seq. The core opens no socket; a bridge
 * subscribes and carries the events further.
 *
 * @module
 */
import { checkBytes, checkFunction, checkInt64, checkText } from '../contract/arguments.ts'
import type { Backend } from '../contract/backend.ts'
import type { CommitEvent } from '../contract/entry.ts'
import { throwUncaught } from '../contract/uncaught.ts'

/** Called for each event, in the order of subscription. What it returns is ignored. */
export type Subscriber = (event: CommitEvent) => void

/** Options of a {@link Doorbell}. */
export interface DoorbellOptions {
  /**
   * Takes what a subscriber throws. Default: it is thrown on its own as an uncaught
   * exception, after the ring.
   */
  readonly onError?: (error: unknown, event: CommitEvent) => void
}

const tied = new WeakMap<Backend, Set<Doorbell>>()

/**
 * A fan-out of commit events.
 *
 * @example
 * ```ts
 * const bell = new Doorbell()
 * bell.tie(db)                                  // ring by itself after each commit
 * const off = bell.subscribe((event) => wake(event.stream, event.seq))
 * ```
 */
export class Doorbell {
  readonly #onError: (error: unknown, event: CommitEvent) => void
  #subscriptions: { readonly subscriber: Subscriber; active: boolean }[] = []
  readonly #waiting: CommitEvent[] = []
  #ringing = false

  constructor(options: DoorbellOptions = {}) {
    this.#onError = options.onError ?? throwUncaught
  }

  /**
   * Call `subscriber` for every ring from now on.
   * @returns a function that unsubscribes; calling it again does nothing.
   * @throws TypeError when `subscriber` is no function.
   */
  subscribe(subscriber: Subscriber): () => void {
    checkFunction('subscriber', subscriber)
    const subscription = { subscriber, active: true }
    this.#subscriptions = [...this.#subscriptions, subscription]
    return () => {
      subscription.active = false
      this.#subscriptions = this.#subscriptions.filter((other) => other !== subscription)
    }
  }

  /**
   * Tell every subscriber. An {@link Entry} will do; only the pointer is passed on.
   *
   * A subscriber that throws stops neither the others nor the caller. A ring from inside
   * a subscriber is delivered after the current one, so that all see the same order.
   * @throws TypeError, RangeError when `event` is not a commit event.
   */
  ring(event: CommitEvent): void {
    this.#queue(event)
    this.#deliverAll()
  }

  /** Ring for the entries of one commit: all of them are queued before the first is delivered. @internal */
  ringAll(events: readonly CommitEvent[]): void {
    for (const event of events) this.#queue(event)
    this.#deliverAll()
  }

  #queue({ stream, writer, seq, contentHash }: CommitEvent): void {
    checkText('event.stream', stream)
    checkText('event.writer', writer)
    checkInt64('event.seq', seq, 1n)
    checkBytes('event.contentHash', contentHash, 32)
    this.#waiting.push({ stream, writer, seq, contentHash: contentHash.slice() })
  }

  #deliverAll(): void {
    if (this.#ringing) return
    this.#ringing = true
    // The list grows while it is gone through: a subscriber may ring, or append.
    for (const event of this.#waiting) this.#deliver(event)
    this.#waiting.length = 0
    this.#ringing = false
  }

  /**
   * Ring by itself for every append through `db`, once its outermost transaction is
   * durable; never for what was rolled back.
   *
   * A transaction that was begun on the raw connection cannot be seen to commit: what is
   * appended inside one is not announced; ring by hand after it.
   * @returns a function that unties the bell; calling it again does nothing.
   */
  tie(db: Backend): () => void {
    const bells = tied.get(db) ?? new Set()
    tied.set(db, bells)
    bells.add(this)
    return () => void bells.delete(this)
  }

  #deliver(event: CommitEvent): void {
    for (const subscription of this.#subscriptions) {
      if (!subscription.active) continue
      try {
        subscription.subscriber(event)
      } catch (error) {
        try {
          this.#onError(error, event)
        } catch (failure) {
          throwUncaught(failure)
        }
      }
    }
  }
}

/** Ring the bells that are tied to `db` once the work at hand is durable. @internal */
export function announce(db: Backend, events: readonly CommitEvent[]): void {
  const bells = tied.get(db)
  if (bells === undefined || bells.size === 0) return
  db.afterCommit(() => {
    for (const bell of bells) bell.ringAll(events)
  })
}
