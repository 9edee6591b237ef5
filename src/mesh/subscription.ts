/**
 * Those who listen to topics. Each is told one message at a time, in the order of arrival; what
 * comes while it is busy waits in a small buffer, from which the oldest falls out.
 *
 * @module
 */
import type { Fingerprint } from '../index.ts'
import type { Certificate } from './identity/certificate.ts'

/** How many messages wait for a slow subscriber. */
export const SUBSCRIPTION_BUFFER = 64

/** A published message that passed every check. */
export interface Delivery {
  /** The name of the topic, without the user. */
  readonly topic: string
  readonly body: Uint8Array
  /** The agent that signed it. */
  readonly sender: Fingerprint
  /** Its certificate, verified: role, host and capabilities as the user certified them. */
  readonly certificate: Certificate
  readonly sequence: bigint
}

/**
 * Called for each message. While a Promise that it returned is pending, others wait.
 * @param missed how many messages fell out of the buffer since the last call.
 */
export type TopicSubscriber = (delivery: Delivery, missed: number) => void | Promise<void>

/** Feeds one subscriber. */
export class Subscription {
  readonly #subscriber: TopicSubscriber
  readonly #onError: (error: unknown) => void
  readonly #waiting: Delivery[] = []
  #missed = 0
  #isBusy = false
  #isActive = true

  constructor(subscriber: TopicSubscriber, onError: (error: unknown) => void) {
    this.#subscriber = subscriber
    this.#onError = onError
  }

  /** Hand a message over, now or when the subscriber is free. */
  offer(delivery: Delivery): void {
    if (!this.#isActive) return
    this.#waiting.push(delivery)
    if (this.#waiting.length > SUBSCRIPTION_BUFFER) {
      this.#waiting.shift()
      this.#missed++
    }
    if (!this.#isBusy) void this.#run()
  }

  /** Call it no more. */
  end(): void {
    this.#isActive = false
    this.#waiting.length = 0
  }

  async #run(): Promise<void> {
    this.#isBusy = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const missed = this.#missed
      this.#missed = 0
      try {
        const pending = this.#subscriber(next, missed)
        if (pending instanceof Promise) await pending
      } catch (error) {
        if (this.#isActive) this.#onError(error)
      }
    }
    this.#isBusy = false
  }
}

/** All subscriptions of a bus, by the wire form of their topic or of the prefix of their topics. */
export class Subscriptions {
  readonly #exact = new Map<string, Set<Subscription>>()
  readonly #prefixed = new Map<Subscription, string>()

  /** @returns the way out. */
  add(wire: string, subscription: Subscription): () => void {
    const others = this.#exact.get(wire) ?? new Set()
    this.#exact.set(wire, others)
    others.add(subscription)
    return () => {
      subscription.end()
      others.delete(subscription)
      if (others.size === 0 && this.#exact.get(wire) === others) this.#exact.delete(wire)
    }
  }

  /** @returns the way out. */
  addPrefix(prefix: string, subscription: Subscription): () => void {
    this.#prefixed.set(subscription, prefix)
    return () => {
      subscription.end()
      this.#prefixed.delete(subscription)
    }
  }

  /** Hand a message to those whose topic is exactly `wire`, or begins so. */
  deliver(wire: string, delivery: Delivery): void {
    for (const one of [...(this.#exact.get(wire) ?? [])]) one.offer(delivery)
    for (const [one, prefix] of [...this.#prefixed]) {
      if (wire.startsWith(prefix)) one.offer(delivery)
    }
  }
}
