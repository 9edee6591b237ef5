/**
 * A bell between the threads of one process: what is rung in one is heard in all others that
 * have a bell of the same name.
 *
 * It carries pointers by a `BroadcastChannel`, in a tenth of a millisecond, where watching the
 * file takes several; it works for stores in no file as well.
 *
 * @module
 */
import { BroadcastChannel } from 'node:worker_threads'
import { checkText } from '#shared'
import {
  type CommitEvent,
  type CommitEventJson,
  commitEventFromJson,
  commitEventToJson,
  Doorbell,
} from '../index.ts'

/**
 * A bell of all threads that make one with the same name.
 *
 * @example
 * ```ts
 * const threads = new ThreadBell('fleet')              // in each thread
 * const bell = new Doorbell()
 * bell.tie(db)
 * bell.subscribe((event) => threads.ring(event))       // where entries are appended
 * follow(db, { bells: [threads] })                     // where they are waited for
 * ```
 */
export class ThreadBell implements Disposable {
  readonly #channel: BroadcastChannel
  readonly #bell = new Doorbell()

  /** @throws TypeError when `name` is no text. */
  constructor(name: string) {
    checkText('name', name)
    this.#channel = new BroadcastChannel(`agent-store ${name}`)
    // Who waits keeps its thread alive; a bell does not.
    this.#channel.unref()
    this.#channel.onmessage = ({ data }: { data: CommitEventJson }) => {
      this.#bell.ring(commitEventFromJson(data))
    }
  }

  /** Tell the other threads. @throws TypeError, RangeError when `event` is no commit event. */
  ring(event: CommitEvent): void {
    const json = commitEventToJson(event)
    commitEventFromJson(json) // Here it can still be said to whom it belongs.
    this.#channel.postMessage(json)
  }

  /** Hear what other threads ring. @returns the way out. */
  subscribe(subscriber: (event: CommitEvent) => void): () => void {
    return this.#bell.subscribe(subscriber)
  }

  close(): void {
    this.#channel.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
