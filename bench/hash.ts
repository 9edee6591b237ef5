/** `npm run bench:hash`: nanoseconds for one BLAKE3, by both kernels, medians. */
import { loadWasmKernel } from '../src/hash/blake3-wasm.ts'
import { typescriptKernel } from '../src/hash/chain.ts'

const ROUNDS = 15
const ROUND_BYTES = 8_000_000
const kernels = { WebAssembly: loadWasmKernel(), TypeScript: typescriptKernel() }

function median(list: readonly number[]): string {
  return (list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN).toFixed(0)
}

function time(operations: number, work: () => void): number {
  const start = process.hrtime.bigint()
  work()
  return Number(process.hrtime.bigint() - start) / operations
}

function compare(what: string, run: (kernel: ReturnType<typeof typescriptKernel>) => number): void {
  for (const [name, kernel] of Object.entries(kernels)) {
    if (kernel === undefined) continue
    const times = Array.from({ length: ROUNDS }, () => run(kernel))
    console.log(`${what.padEnd(26)} ${name.padEnd(12)} ${median(times).padStart(9)} ns`)
  }
}

for (const bytes of [64, 256, 1_024, 4_096, 1_048_576]) {
  const input = new Uint8Array(bytes).fill(7)
  const count = Math.max(4, Math.floor(ROUND_BYTES / bytes / 4))
  compare(`${bytes} bytes`, (kernel) =>
    time(count, () => {
      for (let i = 0; i < count; i++) kernel.hash(input)
    }),
  )
}

const packed = new Uint8Array(512 * 288).fill(7)
const lengths = new Uint32Array(512).fill(288)
const digests = new Uint8Array(512 * 32)
compare('512 x 288 bytes, for each', (kernel) =>
  time(512 * 20, () => {
    for (let i = 0; i < 20; i++) kernel.hashMany(packed, lengths, digests)
  }),
)
