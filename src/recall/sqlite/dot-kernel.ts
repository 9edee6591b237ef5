/**
 * Inner products of one query with a run of records that lie one behind the other in memory:
 * in WebAssembly SIMD where the runtime has it, in TypeScript elsewhere. Both give the same
 * numbers.
 *
 * The memory of a kernel grows, and is never given back before the kernel is.
 *
 * @module
 */
import { DOT_WASM } from './dot-wasm-code.ts'

/** Where records lie, and what scores them. */
export interface DotKernel {
  /** Scores that one call gives at most. */
  readonly mostScores: number
  /** Make room for so many bytes of records; those that lie there stay. */
  reserve(bytes: number): void
  /** The room for records. Good until the next `reserve`. */
  readonly records: Uint8Array
  /** @param query Whole numbers from -2,047 to 2,047, as many as a code has. */
  setQuery(query: Int16Array): void
  /**
   * The scores of `count` records of `stride` bytes from `offset` on, each with its code behind
   * `header` bytes. Good until the next call.
   */
  scan(offset: number, count: number, stride: number, header: number): Int32Array
}

declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer
    grow(pages: number): number
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

interface KernelExports {
  readonly memory: WebAssembly.Memory
  readonly queryAddress: WebAssembly.Global
  readonly scoresAddress: WebAssembly.Global
  readonly recordsAddress: WebAssembly.Global
  readonly mostScores: WebAssembly.Global
  scan(at: number, count: number, stride: number, header: number, components: number): void
}

const PAGE_BYTES = 65_536
let compiled: WebAssembly.Module | undefined

/** A kernel with a memory of its own. */
export function createDotKernel(): DotKernel {
  try {
    compiled ??= new WebAssembly.Module(Buffer.from(DOT_WASM, 'base64'))
    const instance = new WebAssembly.Instance(compiled)
    return wasmKernel(instance.exports as unknown as KernelExports)
  } catch {
    // Absent, without SIMD, or forbidden by a content security policy.
    return typescriptDotKernel()
  }
}

function wasmKernel(wasm: KernelExports): DotKernel {
  const base = wasm.recordsAddress.value
  const mostScores = wasm.mostScores.value
  let components = 0
  return {
    mostScores,
    reserve(bytes) {
      const missing = base + bytes - wasm.memory.buffer.byteLength
      if (missing > 0) wasm.memory.grow(Math.ceil(missing / PAGE_BYTES))
    },
    get records() {
      return new Uint8Array(wasm.memory.buffer, base)
    },
    setQuery(query) {
      components = query.length
      new Int16Array(wasm.memory.buffer, wasm.queryAddress.value, components).set(query)
    },
    scan(offset, count, stride, header) {
      wasm.scan(base + offset, count, stride, header, components)
      return new Int32Array(wasm.memory.buffer, wasm.scoresAddress.value, count)
    },
  }
}

/** The kernel that needs nothing of the runtime. @internal */
export function typescriptDotKernel(): DotKernel {
  let records = new Uint8Array(0)
  let query: Int16Array = new Int16Array(0)
  const scores = new Int32Array(4_096)
  return {
    mostScores: scores.length,
    reserve(bytes) {
      if (bytes <= records.length) return
      const larger = new Uint8Array(Math.max(bytes, 2 * records.length))
      larger.set(records)
      records = larger
    },
    get records() {
      return records
    },
    setQuery(next) {
      query = next
    },
    scan(offset, count, stride, header) {
      const codes = new Int8Array(records.buffer)
      for (let i = 0; i < count; i++) {
        const at = offset + i * stride + header
        let [a, b, c, d] = [0, 0, 0, 0]
        for (let j = 0; j < query.length; j += 4) {
          a += (query[j] ?? 0) * (codes[at + j] ?? 0)
          b += (query[j + 1] ?? 0) * (codes[at + j + 1] ?? 0)
          c += (query[j + 2] ?? 0) * (codes[at + j + 2] ?? 0)
          d += (query[j + 3] ?? 0) * (codes[at + j + 3] ?? 0)
        }
        scores[i] = a + b + c + d
      }
      return scores.subarray(0, count)
    },
  }
}
