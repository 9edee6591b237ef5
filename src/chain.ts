/**
 * The chain's hash: `BLAKE3(prev_hash? || payload)`, as the Rust crate computes it.
 *
 * The hash has no framing, so a head is only meaningful together with its sequence
 * number; see `docs/invariants.md` for what an unkeyed chain cannot show.
 *
 * @module
 */
import { Blake3 } from './blake3.ts'

const hasher = new Blake3()

/** BLAKE3-256 of `input`. */
export function blake3(input: Uint8Array): Uint8Array {
  return hasher.update(input).digest()
}

/** The content hash of an entry with this payload, after an entry with hash `prevHash`. */
export function chainHash(prevHash: Uint8Array | null, payload: Uint8Array): Uint8Array {
  if (prevHash !== null) hasher.update(prevHash)
  return hasher.update(payload).digest()
}

/** Digests of `lengths.length` inputs that lie back to back in `packed`, 32 bytes each. */
export function hashMany(packed: Uint8Array, lengths: Uint32Array): Uint8Array {
  const digests = new Uint8Array(lengths.length * 32)
  let at = 0
  for (let i = 0; i < lengths.length; i++) {
    const end = at + (lengths[i] as number)
    hasher.update(packed.subarray(at, end)).digestInto(digests, i * 32)
    at = end
  }
  return digests
}
