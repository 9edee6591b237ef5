/**
 * The chain's hash: `BLAKE3(prev_hash? || payload)`, as the Rust crate computes it.
 *
 * The WebAssembly kernel computes it where the runtime has one, the TypeScript kernel
 * elsewhere; both are compiled on first use. The hash has no framing, so a head is only
 * meaningful together with its sequence number; see `docs/invariants.md` for what an
 * unkeyed chain cannot show.
 *
 * @module
 */
import { Blake3, DIGEST_BYTES } from './blake3.ts'
import { type Blake3Kernel, loadWasmKernel } from './blake3-wasm.ts'

let chosen: Blake3Kernel | undefined

function kernel(): Blake3Kernel {
  chosen ??= loadWasmKernel() ?? typescriptKernel()
  return chosen
}

/** The kernel that needs nothing of the runtime. @internal */
export function typescriptKernel(): Blake3Kernel {
  const hasher = new Blake3()
  return {
    hash(head, tail) {
      hasher.update(head)
      if (tail !== undefined) hasher.update(tail)
      return hasher.digest()
    },
    hashMany(packed, lengths, out, gap = 0) {
      let at = 0
      lengths.forEach((length, i) => {
        at += gap
        hasher.update(packed.subarray(at, at + length)).digestInto(out, i * DIGEST_BYTES)
        at += length
      })
    },
  }
}

/** BLAKE3-256 of `input`. */
export function blake3(input: Uint8Array): Uint8Array {
  return kernel().hash(input)
}

/** The content hash of an entry with this payload, after an entry with hash `prevHash`. */
export function chainHash(prevHash: Uint8Array | null, payload: Uint8Array): Uint8Array {
  return prevHash === null ? kernel().hash(payload) : kernel().hash(prevHash, payload)
}

/** Digests of inputs, 32 bytes each, as {@link Blake3Kernel.hashMany} gives them. @internal */
export function hashMany(packed: Uint8Array, lengths: Uint32Array, gap?: number): Uint8Array {
  const digests = new Uint8Array(lengths.length * DIGEST_BYTES)
  kernel().hashMany(packed, lengths, digests, gap)
  return digests
}
