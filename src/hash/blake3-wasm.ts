/**
 * BLAKE3-256 by the WebAssembly kernel of `tools/kernel/assembly/blake3.ts`.
 *
 * The kernel is compiled synchronously, on first use, and has one memory of a fixed size. Every
 * call starts from a clean state, so one that throws leaves nothing behind for the next.
 *
 * @module
 */
import { BLAKE3_WASM } from './blake3-wasm-code.ts'

const DIGEST_BYTES = 32

/** Something that computes BLAKE3-256. */
export interface Blake3Kernel {
  /** BLAKE3-256 of `head` followed by `tail`, as a fresh 32-byte array. */
  hash(head: Uint8Array, tail?: Uint8Array): Uint8Array
  /**
   * Digests of `lengths.length` inputs lying one behind the other in `packed`, 32 bytes each, into
   * `out`. Before each input lie `gap` bytes (default 0) that are left out.
   * @throws RangeError when `packed` is shorter than its inputs or `out` than their digests.
   */
  hashMany(packed: Uint8Array, lengths: Uint32Array, out: Uint8Array, gap?: number): void
}

// The part of the global that is used; the compiler only knows it together with the DOM.
declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer
  }
  interface Global {
    readonly value: number
  }
  class Module {
    constructor(code: Uint8Array)
  }
  class Instance {
    constructor(module: Module)
    readonly exports: object
  }
}

/** What the module exports; addresses and sizes in bytes. */
interface KernelExports {
  readonly memory: WebAssembly.Memory
  readonly windowAddress: WebAssembly.Global
  readonly windowBytes: WebAssembly.Global
  readonly lengthsAddress: WebAssembly.Global
  readonly digestsAddress: WebAssembly.Global
  readonly maxInputs: WebAssembly.Global
  hash(length: number): void
  hashMany(count: number, gap: number): void
  begin(): void
  absorb(): void
  finish(length: number): void
}

let loaded = false
let kernel: Blake3Kernel | undefined

/** The SIMD kernel, or undefined where this runtime cannot compile it. */
export function loadWasmKernel(): Blake3Kernel | undefined {
  if (!loaded) {
    loaded = true
    kernel = instantiate()
  }
  return kernel
}

function instantiate(): Blake3Kernel | undefined {
  // Absent, switched off, without SIMD, or forbidden by a content security policy.
  if (typeof WebAssembly === 'undefined') return undefined
  try {
    // A loop over `atob` would take longer than compiling, as it runs once, interpreted.
    const code = Buffer.from(BLAKE3_WASM, 'base64')
    const instance = new WebAssembly.Instance(new WebAssembly.Module(code))
    return createKernel(instance.exports as unknown as KernelExports)
  } catch {
    return undefined
  }
}

function createKernel(wasm: KernelExports): Blake3Kernel {
  const windowBytes = wasm.windowBytes.value
  const maxInputs = wasm.maxInputs.value
  const memory = wasm.memory.buffer
  const window = new Uint8Array(memory, wasm.windowAddress.value, windowBytes)
  const lengthsArea = new Uint32Array(memory, wasm.lengthsAddress.value, maxInputs)
  const digests = new Uint8Array(memory, wasm.digestsAddress.value, DIGEST_BYTES * maxInputs)
  const firstDigest = digests.subarray(0, DIGEST_BYTES)

  /** Hash an input longer than the window into the first digest. */
  function stream(head: Uint8Array, tail: Uint8Array | undefined): void {
    wasm.begin()
    let filled = 0
    for (const part of tail === undefined ? [head] : [head, tail]) {
      for (let offset = 0; offset < part.length; ) {
        // A full window is kept back until more is known to follow.
        if (filled === windowBytes) {
          wasm.absorb()
          filled = 0
        }
        const taken = Math.min(windowBytes - filled, part.length - offset)
        window.set(part.subarray(offset, offset + taken), filled)
        filled += taken
        offset += taken
      }
    }
    wasm.finish(filled)
  }

  function hash(head: Uint8Array, tail?: Uint8Array): Uint8Array {
    const length = head.length + (tail === undefined ? 0 : tail.length)
    if (length > windowBytes) {
      stream(head, tail)
    } else {
      window.set(head)
      if (tail !== undefined) window.set(tail, head.length)
      wasm.hash(length)
    }
    // Copied by the constructor, which takes two thirds of the time of `slice`.
    return new Uint8Array(firstDigest)
  }

  function hashMany(
    packed: Uint8Array,
    lengths: Uint32Array,
    out: Uint8Array,
    gap: number = 0,
  ): void {
    let total = gap * lengths.length
    for (const length of lengths) total += length
    if (total > packed.length) {
      throw new RangeError(`packed: ${packed.length} bytes, but its inputs have ${total}`)
    }
    if (out.length < DIGEST_BYTES * lengths.length) {
      throw new RangeError(`out: ${out.length} bytes for ${lengths.length} digests`)
    }
    let offset = 0
    for (let first = 0; first < lengths.length; ) {
      let last = first
      let end = offset
      while (last < lengths.length && last - first < maxInputs) {
        const next = end + gap + (lengths[last] ?? 0)
        if (next - offset > windowBytes) break
        end = next
        last++
      }
      if (last === first) {
        end = offset + gap + (lengths[first] ?? 0)
        out.set(hash(packed.subarray(offset + gap, end)), DIGEST_BYTES * first)
        last++
      } else {
        const count = last - first
        window.set(packed.subarray(offset, end))
        lengthsArea.set(lengths.subarray(first, last))
        wasm.hashMany(count, gap)
        out.set(digests.subarray(0, DIGEST_BYTES * count), DIGEST_BYTES * first)
      }
      first = last
      offset = end
    }
  }

  return { hash, hashMany }
}
