/**
 * Nonces and sequence numbers: what the Rust tests pin, and that memory has a bound.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fingerprint } from 'agent-store'
import { NonceCache, SequenceTracker } from '../../src/mesh/replay.ts'
import { KEYS } from './support.ts'

const nonce = (n: number) => {
  const bytes = new Uint8Array(24)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}
const A = KEYS.agentA.fingerprint
const B = KEYS.agentB.fingerprint

test('a nonce is taken once, and the oldest makes room', () => {
  const cache = new NonceCache(3)
  for (const n of [1, 2, 3, 4]) cache.admit(nonce(n))
  assert.equal(cache.size, 3)
  assert.throws(() => cache.admit(nonce(4)), { code: 'MESH_REPLAY' })
  assert.equal(cache.size, 3)
  cache.admit(nonce(1))
  assert.throws(() => cache.admit(nonce(3)), { code: 'MESH_REPLAY' })
})

test('numbers of a sender only grow; gaps are fine; 0 is never taken', () => {
  const tracker = new SequenceTracker()
  const refuses = (sender: Fingerprint, actual: bigint, expected: bigint) =>
    assert.throws(() => tracker.admit(sender, actual), {
      code: 'MESH_BAD_SEQUENCE',
      message: `sequence ${actual} is out of order, expected ${expected} or more`,
    })
  refuses(A, 0n, 1n)
  for (const n of [1n, 2n, 100n]) tracker.admit(A, n)
  refuses(A, 100n, 101n)
  refuses(A, 9n, 101n)
  tracker.admit(B, 1n)
  tracker.admit(A, 2n ** 64n - 1n)
  refuses(A, 2n ** 64n - 1n, 2n ** 64n)
})

test('of 100,000 nonces and 5,000 senders, 4,096 and 1,024 are remembered', () => {
  const cache = new NonceCache()
  for (let n = 0; n < 100_000; n++) cache.admit(nonce(n))
  assert.equal(cache.size, 4_096)
  const tracker = new SequenceTracker()
  const sender = (n: number) =>
    Fingerprint.fromBytes(
      new Uint8Array(32).fill(0).map((_, i) => (n >> (8 * i)) & (i < 4 ? 255 : 0)),
    )
  for (let n = 0; n < 5_000; n++) {
    tracker.admit(sender(n), 5n)
    // Who speaks is not forgotten.
    tracker.admit(A, BigInt(n + 1))
  }
  assert.equal(tracker.size, 1_024)
  assert.throws(() => tracker.admit(A, 5_000n), { code: 'MESH_BAD_SEQUENCE' })
  assert.throws(() => tracker.admit(sender(4_999), 5n), { code: 'MESH_BAD_SEQUENCE' })
  tracker.admit(sender(0), 1n)
})
