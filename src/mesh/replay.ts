/**
 * The defence against messages that come twice: nonces that were seen, and for each sender the
 * highest sequence number. Both are bounded; neither looks at a clock.
 *
 * @module
 */
import type { Fingerprint } from '../index.ts'
import { BadSequenceError, ReplayError } from './errors.ts'

/** Remembers the latest nonces of all senders together; the oldest makes room. */
export class NonceCache {
  readonly #capacity: number
  readonly #seen = new Set<string>()

  constructor(capacity = 4096) {
    this.#capacity = capacity
  }

  /** Remember a nonce. @throws ReplayError when it is remembered already. */
  admit(nonce: Uint8Array): void {
    const key = Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length).toString('latin1')
    if (this.#seen.has(key)) throw new ReplayError('the nonce of the envelope was seen before')
    if (this.#seen.size === this.#capacity) dropOldest(this.#seen)
    this.#seen.add(key)
  }

  get size(): number {
    return this.#seen.size
  }
}

/**
 * Remembers the highest sequence number of each sender. When there are too many, the one who
 * was silent for longest is forgotten.
 */
export class SequenceTracker {
  readonly #capacity: number
  readonly #highest = new Map<string, bigint>()

  constructor(capacity = 1024) {
    this.#capacity = capacity
  }

  /** Remember a number. @throws BadSequenceError unless it is above all before it, and above 0. */
  admit(sender: Fingerprint, sequence: bigint): void {
    const key = sender.toHex()
    const last = this.#highest.get(key) ?? 0n
    if (sequence <= last) throw new BadSequenceError(last + 1n, sequence)
    if (!this.#highest.delete(key) && this.#highest.size === this.#capacity) {
      dropOldest(this.#highest)
    }
    this.#highest.set(key, sequence)
  }

  get size(): number {
    return this.#highest.size
  }
}

function dropOldest<K>(collection: { keys(): Iterator<K>; delete(key: K): boolean }): void {
  const { value, done } = collection.keys().next()
  if (done !== true) collection.delete(value)
}
