/**
 * Time of one hash and of a batch, and of the start of the kernel. Run as `node bench.ts`.
 *
 * @module
 */
import { Buffer } from 'node:buffer'
import { loadWasmKernel } from '../src/blake3-wasm.ts'
import { BLAKE3_WASM } from './blake3-wasm-code.ts'

const RUNS = 41
const RUN_NS = 10_000_000
const STARTS = 21

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function elapsedNs(call: () => void, count: number): number {
  const start = process.hrtime.bigint()
  for (let i = 0; i < count; i++) call()
  return Number(process.hrtime.bigint() - start)
}

/** Nanoseconds for one call, the median and the least of many runs. */
function measure(call: () => void): { medianNs: number; leastNs: number } {
  let count = 1
  while (elapsedNs(call, count) < RUN_NS) count *= 2
  for (let i = 0; i < 10; i++) elapsedNs(call, count)
  const runs = Array.from({ length: RUNS }, () => elapsedNs(call, count) / count)
  return { medianNs: median(runs), leastNs: Math.min(...runs) }
}

function report(name: string, bytes: number, inputs: number, call: () => void): void {
  const { medianNs, leastNs } = measure(call)
  const speed = ((bytes / medianNs) * 1000).toFixed(0)
  const [ns, least] = [medianNs / inputs, leastNs / inputs].map((value) => value.toFixed(0))
  console.log(`${name.padEnd(28)} ${ns} ns (least ${least}), ${speed} MB/s`)
}

/** A module of other bytes each time, or the engine would find the compiled one in its cache. */
function withCustomSection(code: Uint8Array, salt: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(...code, 0, 3, 1, 0x73, salt)
}

function reportStart(): void {
  const decode: number[] = []
  const compile: number[] = []
  const instantiate: number[] = []
  const firstHash: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const begun = process.hrtime.bigint()
    const code = Buffer.from(BLAKE3_WASM, 'base64')
    decode.push(Number(process.hrtime.bigint() - begun))
    const salted = withCustomSection(code, i)
    const start = process.hrtime.bigint()
    const module = new WebAssembly.Module(salted)
    const compiled = process.hrtime.bigint()
    const { exports } = new WebAssembly.Instance(module)
    const instantiated = process.hrtime.bigint()
    const hash = exports['hash'] as (length: number) => void
    hash(64)
    firstHash.push(Number(process.hrtime.bigint() - instantiated))
    compile.push(Number(compiled - start))
    instantiate.push(Number(instantiated - compiled))
  }
  const steps = { decode, compile, instantiate, firstHash }
  for (const [name, values] of Object.entries(steps)) {
    const first = ((values[0] ?? Number.NaN) / 1000).toFixed(0)
    const usual = (median(values) / 1000).toFixed(0)
    console.log(`${name.padEnd(28)} ${first} us at first, median ${usual} us`)
  }
}

reportStart()
const kernel = loadWasmKernel()
if (kernel === undefined) throw new Error('this runtime cannot compile the kernel')

const data = new Uint8Array(1024 * 1024).map((_, index) => index * 31)
for (const length of [64, 256, 288, 1024, 4096, 4128, 1024 * 1024]) {
  const input = data.subarray(0, length)
  report(`hash ${length} B`, length, 1, () => kernel.hash(input))
}
const head = data.subarray(0, 32)
const tail = data.subarray(32, 288)
report('hash 32 + 256 B', 288, 1, () => kernel.hash(head, tail))

const mixed = Array.from({ length: 512 }, (_, index) => 32 + ((index * 7919) % 481))
const batches: ReadonlyArray<readonly [string, readonly number[]]> = [
  ['hashMany 512 x 288 B', new Array<number>(512).fill(288)],
  ['hashMany 64 x 4128 B', new Array<number>(64).fill(4128)],
  ['hashMany 512 x 32..512 B', mixed],
]
for (const [name, sizes] of batches) {
  const lengths = Uint32Array.from(sizes)
  const total = sizes.reduce((sum, length) => sum + length, 0)
  const packed = data.subarray(0, total)
  const out = new Uint8Array(32 * lengths.length)
  report(name, total, lengths.length, () => kernel.hashMany(packed, lengths, out))
}
