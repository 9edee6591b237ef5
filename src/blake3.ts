/**
 * BLAKE3-256, unkeyed, synchronous, in plain TypeScript.
 *
 * Written after the specification (https://github.com/BLAKE3-team/BLAKE3-specs,
 * sections 2.1 to 2.6; section numbers below are its own). It is the kernel that
 * runs everywhere and the oracle of the WebAssembly one in `blake3-wasm.ts`.
 *
 * The rounds keep all 32 words of state and message in local variables, because
 * that is what lets a JavaScript engine keep them in registers; hence their length.
 *
 * @module
 */

/** Bytes of a digest. */
export const DIGEST_BYTES = 32

const BLOCK_BYTES = 64
const CHUNK_BYTES = 1024
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

/**
 * The compression function (section 2.2), truncated to the chaining value.
 * `out` may be `cv`. `counter` is a chunk index, exact up to 2^53. A view reads the words of a
 * block wherever they lie, aligned or not, on machines of either byte order.
 */
function compress(
  cv: Int32Array,
  block: DataView,
  blockAt: number,
  counter: number,
  blockBytes: number,
  flags: number,
  out: Int32Array,
  outAt: number,
): void {
  let m0 = block.getInt32(blockAt, true)
  let m1 = block.getInt32(blockAt + 4, true)
  let m2 = block.getInt32(blockAt + 8, true)
  let m3 = block.getInt32(blockAt + 12, true)
  let m4 = block.getInt32(blockAt + 16, true)
  let m5 = block.getInt32(blockAt + 20, true)
  let m6 = block.getInt32(blockAt + 24, true)
  let m7 = block.getInt32(blockAt + 28, true)
  let m8 = block.getInt32(blockAt + 32, true)
  let m9 = block.getInt32(blockAt + 36, true)
  let m10 = block.getInt32(blockAt + 40, true)
  let m11 = block.getInt32(blockAt + 44, true)
  let m12 = block.getInt32(blockAt + 48, true)
  let m13 = block.getInt32(blockAt + 52, true)
  let m14 = block.getInt32(blockAt + 56, true)
  let m15 = block.getInt32(blockAt + 60, true)
  let v0 = cv[0] as number
  let v1 = cv[1] as number
  let v2 = cv[2] as number
  let v3 = cv[3] as number
  let v4 = cv[4] as number
  let v5 = cv[5] as number
  let v6 = cv[6] as number
  let v7 = cv[7] as number
  let v8 = 0x6a09e667
  let v9 = -0x4498517b
  let v10 = 0x3c6ef372
  let v11 = -0x5ab00ac6
  let v12 = counter | 0
  let v13 = (counter / 0x1_0000_0000) | 0
  let v14 = blockBytes
  let v15 = flags
  for (let round = 0; ; round++) {
    // Columns, then diagonals.
    v0 = (v0 + v4 + m0) | 0
    v12 ^= v0
    v12 = (v12 >>> 16) | (v12 << 16)
    v8 = (v8 + v12) | 0
    v4 ^= v8
    v4 = (v4 >>> 12) | (v4 << 20)
    v0 = (v0 + v4 + m1) | 0
    v12 ^= v0
    v12 = (v12 >>> 8) | (v12 << 24)
    v8 = (v8 + v12) | 0
    v4 ^= v8
    v4 = (v4 >>> 7) | (v4 << 25)
    v1 = (v1 + v5 + m2) | 0
    v13 ^= v1
    v13 = (v13 >>> 16) | (v13 << 16)
    v9 = (v9 + v13) | 0
    v5 ^= v9
    v5 = (v5 >>> 12) | (v5 << 20)
    v1 = (v1 + v5 + m3) | 0
    v13 ^= v1
    v13 = (v13 >>> 8) | (v13 << 24)
    v9 = (v9 + v13) | 0
    v5 ^= v9
    v5 = (v5 >>> 7) | (v5 << 25)
    v2 = (v2 + v6 + m4) | 0
    v14 ^= v2
    v14 = (v14 >>> 16) | (v14 << 16)
    v10 = (v10 + v14) | 0
    v6 ^= v10
    v6 = (v6 >>> 12) | (v6 << 20)
    v2 = (v2 + v6 + m5) | 0
    v14 ^= v2
    v14 = (v14 >>> 8) | (v14 << 24)
    v10 = (v10 + v14) | 0
    v6 ^= v10
    v6 = (v6 >>> 7) | (v6 << 25)
    v3 = (v3 + v7 + m6) | 0
    v15 ^= v3
    v15 = (v15 >>> 16) | (v15 << 16)
    v11 = (v11 + v15) | 0
    v7 ^= v11
    v7 = (v7 >>> 12) | (v7 << 20)
    v3 = (v3 + v7 + m7) | 0
    v15 ^= v3
    v15 = (v15 >>> 8) | (v15 << 24)
    v11 = (v11 + v15) | 0
    v7 ^= v11
    v7 = (v7 >>> 7) | (v7 << 25)
    v0 = (v0 + v5 + m8) | 0
    v15 ^= v0
    v15 = (v15 >>> 16) | (v15 << 16)
    v10 = (v10 + v15) | 0
    v5 ^= v10
    v5 = (v5 >>> 12) | (v5 << 20)
    v0 = (v0 + v5 + m9) | 0
    v15 ^= v0
    v15 = (v15 >>> 8) | (v15 << 24)
    v10 = (v10 + v15) | 0
    v5 ^= v10
    v5 = (v5 >>> 7) | (v5 << 25)
    v1 = (v1 + v6 + m10) | 0
    v12 ^= v1
    v12 = (v12 >>> 16) | (v12 << 16)
    v11 = (v11 + v12) | 0
    v6 ^= v11
    v6 = (v6 >>> 12) | (v6 << 20)
    v1 = (v1 + v6 + m11) | 0
    v12 ^= v1
    v12 = (v12 >>> 8) | (v12 << 24)
    v11 = (v11 + v12) | 0
    v6 ^= v11
    v6 = (v6 >>> 7) | (v6 << 25)
    v2 = (v2 + v7 + m12) | 0
    v13 ^= v2
    v13 = (v13 >>> 16) | (v13 << 16)
    v8 = (v8 + v13) | 0
    v7 ^= v8
    v7 = (v7 >>> 12) | (v7 << 20)
    v2 = (v2 + v7 + m13) | 0
    v13 ^= v2
    v13 = (v13 >>> 8) | (v13 << 24)
    v8 = (v8 + v13) | 0
    v7 ^= v8
    v7 = (v7 >>> 7) | (v7 << 25)
    v3 = (v3 + v4 + m14) | 0
    v14 ^= v3
    v14 = (v14 >>> 16) | (v14 << 16)
    v9 = (v9 + v14) | 0
    v4 ^= v9
    v4 = (v4 >>> 12) | (v4 << 20)
    v3 = (v3 + v4 + m15) | 0
    v14 ^= v3
    v14 = (v14 >>> 8) | (v14 << 24)
    v9 = (v9 + v14) | 0
    v4 ^= v9
    v4 = (v4 >>> 7) | (v4 << 25)
    if (round === 6) break
    // Section 2.3: the message words are permuted between rounds, here cycle by cycle.
    const t0 = m0
    m0 = m2
    m2 = m3
    m3 = m10
    m10 = m12
    m12 = m9
    m9 = m11
    m11 = m5
    m5 = t0
    const t1 = m1
    m1 = m6
    m6 = m4
    m4 = m7
    m7 = m13
    m13 = m14
    m14 = m15
    m15 = m8
    m8 = t1
  }
  out[outAt] = v0 ^ v8
  out[outAt + 1] = v1 ^ v9
  out[outAt + 2] = v2 ^ v10
  out[outAt + 3] = v3 ^ v11
  out[outAt + 4] = v4 ^ v12
  out[outAt + 5] = v5 ^ v13
  out[outAt + 6] = v6 ^ v14
  out[outAt + 7] = v7 ^ v15
}

/** Back to the initial value, by a loop: for eight words that is faster than `set`. */
function reset(cv: Int32Array): void {
  for (let i = 0; i < CV_WORDS; i++) cv[i] = IV[i] as number
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
    compress(words, this.#block, 0, this.#chunks, this.#filled, flags, words, 0)
    while (this.#depth > 0) {
      this.#popBeside(words)
      flags = PARENT | (this.#depth === 0 ? ROOT : 0)
      compress(IV, this.#block, 0, 0, BLOCK_BYTES, flags, words, 0)
    }
    for (let i = 0; i < CV_WORDS; i++) {
      const word = words[i] as number
      out[outAt++] = word
      out[outAt++] = word >>> 8
      out[outAt++] = word >>> 16
      out[outAt++] = word >>> 24
    }
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
    compress(cv, block, at, this.#chunks, BLOCK_BYTES, flags, cv, 0)
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
      compress(IV, this.#block, 0, 0, BLOCK_BYTES, PARENT, cv, 0)
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
