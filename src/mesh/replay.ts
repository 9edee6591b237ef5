/**
 * The defence against messages that come twice: nonces that were seen, and for each sender the
 * highest sequence number. Both are bounded; neither looks at a clock.
 *
 * @module
 */
import { BoundedMap } from '#shared'
import type { Fingerprint } from '../index.ts'
import { MeshError } from './errors.ts'

/** Remembers the latest nonces of all senders together; the oldest makes room. */
export class NonceCache {
  readonly #seen: BoundedMap<string, true>

  constructor(capacity = 4096) {
    this.#seen = new BoundedMap(capacity)
  }

  /** Remember a nonce. @throws MeshError MESH_REPLAY when it is remembered already. */
  admit(nonce: Uint8Array): void {
    const key = Buffer.from(nonce.buffer, nonce.byteOffset, nonce.length).toString('latin1')
    if (this.#seen.has(key))
      throw new MeshError('MESH_REPLAY', 'the nonce of the envelope was seen before')
    this.#seen.set(key, true)
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
  readonly #highest: BoundedMap<string, bigint>

  constructor(capacity = 1024) {
    this.#highest = new BoundedMap(capacity)
  }

  /** Remember a number. @throws MeshError MESH_BAD_SEQUENCE unless it is above all before it, and above 0. */
  admit(sender: Fingerprint, sequence: bigint): void {
    const key = sender.toHex()
    const last = this.#highest.peek(key) ?? 0n
    if (sequence <= last) {
      throw new MeshError(
        'MESH_BAD_SEQUENCE',
        `sequence ${sequence} is out of order, expected ${last + 1n} or more`,
      )
    }
    this.#highest.set(key, sequence)
  }

  get size(): number {
    return this.#highest.size
  }
}
