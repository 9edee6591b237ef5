/**
 * BLAKE3-256, unkeyed, synchronous, in plain TypeScript.
 *
 * Written after the specification (https://github.com/BLAKE3-team/BLAKE3-specs,
 * sections 2.1 to 2.6; section numbers below are its own). It is the kernel that
 * runs everywhere and the oracle of the WebAssembly one in `blake3-wasm.ts`.
 *
 * @module
 */
import { compress } from './blake3-compress.ts'

/** Bytes of a digest. */
export const DIGEST_BYTES = 32

const BLOCK_BYTES = 64
/** Up to so many bytes the tree is a single leaf. @internal */
export const CHUNK_BYTES = 1024
const CV_WORDS = 8
/** A tree over 2^64 bytes has at most 54 levels of chaining values (section 5.1.2). */
const MAX_DEPTH = 54

// Section 2.1: domain flags, and the first words of the initial value of SHA-256.
const CHUNK_START = 1
const CHUNK_END = 2
const PARENT = 4
const ROOT = 8
const IV = Int32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
)

/** Back to the initial value, by a loop: for eight words that is faster than `set`. */
function reset(cv: Int32Array): void {
  for (let i = 0; i < CV_WORDS; i++) cv[i] = IV[i] as number
}

/**
 * The digests of inputs of one chunk each, without the state that a longer one needs.
 * @internal
 */
export class ChunkDigest {
  readonly #cv = new Int32Array(CV_WORDS)
  readonly #last = new DataView(new ArrayBuffer(BLOCK_BYTES))
  readonly #lastBytes = new Uint8Array(this.#last.buffer)

  /**
   * Write the digest of `length` bytes of `input`, at most {@link CHUNK_BYTES}, to `out`. They are
   * read where they lie in `view`, which is of the same bytes, but for those of the last block.
   */
  digestInto(
    input: Uint8Array,
    view: DataView,
    at: number,
    length: number,
    out: Uint8Array,
    outAt: number,
  ): void {
    const cv = this.#cv
    const end = at + length
    let from = IV
    let flags = CHUNK_START
    for (; end - at > BLOCK_BYTES; at += BLOCK_BYTES) {
      compress(from, view, at, 0, BLOCK_BYTES, flags, cv)
      from = cv
      flags = 0
    }
    const last = this.#lastBytes
    const left = end - at
    for (let i = 0; i < left; i++) last[i] = input[at + i] as number
    for (let i = left; i < BLOCK_BYTES; i++) last[i] = 0
    compress(from, this.#last, 0, 0, left, flags | CHUNK_END | ROOT, cv)
    writeWords(cv, out, outAt)
  }
}

/** The words of a chaining value as bytes. */
function writeWords(words: Int32Array, out: Uint8Array, at: number): void {
  for (let i = 0; i < CV_WORDS; i++) {
    const word = words[i] as number
    out[at++] = word
    out[at++] = word >>> 8
    out[at++] = word >>> 16
    out[at++] = word >>> 24
  }
}

/**
 * An incremental BLAKE3: feed it with {@link Blake3.update}, in any number of pieces,
 * then take {@link Blake3.digest}.
 *
 * @example
 * ```ts
 * const hash = new Blake3().update(prevHash).update(payload).digest()
 * ```
 */
export class Blake3 {
  readonly #block = new DataView(new ArrayBuffer(BLOCK_BYTES))
  readonly #blockBytes = new Uint8Array(this.#block.buffer)
  /** Bytes in `#block`; a full block waits here until more input shows it is not the last. */
  #filled = 0
  readonly #cv = IV.slice()
  #blocks = 0
  #chunks = 0
  /** Roots of finished subtrees, largest first (section 5.1.2). */
  readonly #stack = new Int32Array(MAX_DEPTH * CV_WORDS)
  #depth = 0

  /** Take in `input`. The bytes are read before the call returns and not kept. */
  update(input: Uint8Array): this {
    const length = input.length
    let at = 0
    while (at < length) {
      if (this.#filled === BLOCK_BYTES) {
        this.#absorb(this.#block, 0)
        this.#filled = 0
      }
      if (this.#filled === 0 && length - at > BLOCK_BYTES) {
        // All blocks but the last are read where they lie.
        const view = new DataView(input.buffer, input.byteOffset, length)
        for (; length - at > BLOCK_BYTES; at += BLOCK_BYTES) this.#absorb(view, at)
      }
      const take = Math.min(BLOCK_BYTES - this.#filled, length - at)
      const bytes = this.#blockBytes
      for (let i = this.#filled, end = i + take; i < end; i++) bytes[i] = input[at++] as number
      this.#filled += take
    }
    return this
  }

  /** The 32-byte digest of all that was taken in, and back to the empty state. */
  digest(): Uint8Array {
    const out = new Uint8Array(DIGEST_BYTES)
    this.digestInto(out, 0)
    return out
  }

  /** As {@link Blake3.digest}, written to `out` at `outAt`. */
  digestInto(out: Uint8Array, outAt: number): void {
    const words = this.#cv
    const bytes = this.#blockBytes
    for (let i = this.#filled; i < BLOCK_BYTES; i++) bytes[i] = 0
    let flags = CHUNK_END | (this.#blocks === 0 ? CHUNK_START : 0)
    if (this.#depth === 0) flags |= ROOT
    compress(words, this.#block, 0, this.#chunks, this.#filled, flags, words)
    while (this.#depth > 0) {
      this.#popBeside(words)
      flags = PARENT | (this.#depth === 0 ? ROOT : 0)
      compress(IV, this.#block, 0, 0, BLOCK_BYTES, flags, words)
    }
    writeWords(words, out, outAt)
    reset(words)
    this.#filled = 0
    this.#blocks = 0
    this.#chunks = 0
  }

  /** Take in the block at `at`, which is not the last one. */
  #absorb(block: DataView, at: number): void {
    const cv = this.#cv
    const last = this.#blocks === CHUNK_BYTES / BLOCK_BYTES - 1
    const flags = (this.#blocks === 0 ? CHUNK_START : 0) | (last ? CHUNK_END : 0)
    compress(cv, block, at, this.#chunks, BLOCK_BYTES, flags, cv)
    this.#blocks++
    if (last) {
      this.#pushChunk()
      reset(cv)
      this.#blocks = 0
    }
  }

  /**
   * Put a finished chunk on the stack and merge equal subtrees: one merge for each
   * trailing zero of the number of chunks so far. Only called when more input follows,
   * so what is merged here is never the root.
   */
  #pushChunk(): void {
    this.#chunks++
    const cv = this.#cv
    for (let chunks = this.#chunks; chunks % 2 === 0; chunks /= 2) {
      this.#popBeside(cv)
      compress(IV, this.#block, 0, 0, BLOCK_BYTES, PARENT, cv)
    }
    this.#stack.set(cv, this.#depth * CV_WORDS)
    this.#depth++
  }

  /** Make the block of a parent (section 2.5): the topmost root of the stack, then `right`. */
  #popBeside(right: Int32Array): void {
    this.#depth--
    for (let i = 0; i < CV_WORDS; i++) {
      const left = this.#stack[this.#depth * CV_WORDS + i] as number
      this.#block.setInt32(4 * i, left, true)
      this.#block.setInt32(4 * (CV_WORDS + i), right[i] as number, true)
    }
  }
}
