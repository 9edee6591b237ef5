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
import { Blake3, CHUNK_BYTES, ChunkDigest, DIGEST_BYTES } from './blake3.ts'
import { type Blake3Kernel, loadWasmKernel } from './blake3-wasm.ts'

let chosen: Blake3Kernel | undefined

function kernel(): Blake3Kernel {
  chosen ??= loadWasmKernel() ?? typescriptKernel()
  return chosen
}

/** The kernel that needs nothing of the runtime. @internal */
export function typescriptKernel(): Blake3Kernel {
  const hasher = new Blake3()
  const short = new ChunkDigest()
  const window = new Uint8Array(CHUNK_BYTES)
  const windowView = new DataView(window.buffer)
  return {
    hash(head, tail) {
      const length = head.length + (tail?.length ?? 0)
      if (length > CHUNK_BYTES) {
        hasher.update(head)
        if (tail !== undefined) hasher.update(tail)
        return hasher.digest()
      }
      window.set(head)
      if (tail !== undefined) window.set(tail, head.length)
      const digest = new Uint8Array(DIGEST_BYTES)
      short.digestInto(window, windowView, 0, length, digest, 0)
      return digest
    },
    hashMany(packed, lengths, out, gap = 0) {
      const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
      let at = 0
      lengths.forEach((length, i) => {
        at += gap
        const outAt = i * DIGEST_BYTES
        if (length <= CHUNK_BYTES) short.digestInto(packed, view, at, length, out, outAt)
        else hasher.update(packed.subarray(at, at + length)).digestInto(out, outAt)
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

let scratch = new Uint8Array(0)

/**
 * Digests of inputs, 32 bytes each, as {@link Blake3Kernel.hashMany} gives them, in a buffer that
 * the next call writes to again: V8 would free one for each call late, as it lies outside its heap.
 * @internal
 */
export function hashMany(packed: Uint8Array, lengths: Uint32Array, gap?: number): Uint8Array {
  const size = lengths.length * DIGEST_BYTES
  if (scratch.length < size) scratch = new Uint8Array(size)
  kernel().hashMany(packed, lengths, scratch, gap)
  return scratch.subarray(0, size)
}
