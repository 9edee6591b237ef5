/** The WebAssembly kernel gives what BLAKE3 gives, for every length and in every batch. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blake3 } from '@noble/hashes/blake3.js'
import { type Blake3Kernel, loadWasmKernel } from '../../src/hash/blake3-wasm.ts'

const WINDOW_BYTES = 256 * 1024
const LONGEST = 3 * 1024 * 1024

function requireKernel(): Blake3Kernel {
  const kernel = loadWasmKernel()
  assert.ok(kernel, 'this runtime compiles the kernel')
  return kernel
}

/** Deterministic numbers, so that a failure can be repeated (mulberry32). */
function randomSource(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

const random = randomSource(1)
const data = Uint8Array.from({ length: LONGEST }, () => random(256))
const kernel = requireKernel()

function checkLength(length: number): void {
  const offset = random(LONGEST - length + 1)
  const input = data.subarray(offset, offset + length)
  assert.deepEqual(kernel.hash(input), blake3(input), `length ${length}`)
}

function checkMany(lengths: readonly number[], gap = 0): void {
  const total = lengths.reduce((sum, length) => sum + gap + length, 0)
  const packed = new Uint8Array(total)
  const expected = new Uint8Array(32 * lengths.length)
  let offset = 0
  lengths.forEach((length, index) => {
    const from = random(LONGEST - length + 1)
    offset += gap
    packed.set(data.subarray(from, from + length), offset)
    expected.set(blake3(packed.subarray(offset, offset + length)), 32 * index)
    offset += length
  })
  const out = new Uint8Array(32 * lengths.length)
  kernel.hashMany(packed, Uint32Array.from(lengths), out, gap)
  for (let index = 0; index < lengths.length; index++) {
    const [from, to] = [32 * index, 32 * index + 32]
    const message = `input ${index} of ${lengths.length}, ${lengths[index]} bytes`
    assert.deepEqual(out.subarray(from, to), expected.subarray(from, to), message)
  }
}

test('every length up to 1100', () => {
  for (let length = 0; length <= 1100; length++) checkLength(length)
})

test('around every chunk boundary up to 20 chunks', () => {
  for (let chunks = 1; chunks <= 20; chunks++) {
    for (const delta of [-1, 0, 1]) checkLength(1024 * chunks + delta)
  }
})

test('random lengths up to 300 KiB', () => {
  for (let i = 0; i < 60; i++) checkLength(random(300 * 1024 + 1))
})

test('around the window, and many windows', () => {
  for (const windows of [1, 2, 3, 4, 5, 7, 8]) {
    for (const delta of [-1, 0, 1, 1024, 5000]) checkLength(windows * WINDOW_BYTES + delta)
  }
  checkLength(1024 * 1024)
  checkLength(LONGEST)
})

test('an input in two parts', () => {
  for (const bound of [64, 300, 2048, 20_000, 300 * 1024, 1024 * 1024]) {
    for (let i = 0; i < 20; i++) {
      const input = data.subarray(0, random(bound + 1))
      const split = random(input.length + 1)
      const digest = kernel.hash(input.subarray(0, split), input.subarray(split))
      assert.deepEqual(digest, blake3(input), `${input.length} bytes split at ${split}`)
    }
  }
})

test('the digest is a fresh array', () => {
  const first = kernel.hash(data.subarray(0, 10))
  const copy = first.slice()
  const second = kernel.hash(data.subarray(0, 20))
  assert.deepEqual(first, copy)
  assert.notEqual(first.buffer, second.buffer)
  assert.equal(first.byteOffset + first.buffer.byteLength, 32)
})

test('many: any number of equal inputs', () => {
  for (const length of [0, 1, 63, 64, 65, 288, 1024, 1025, 4128]) {
    for (const count of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
      checkMany(Array.from({ length: count }, () => length))
    }
  }
})

test('many: mixed lengths, empty ones among them', () => {
  for (const bound of [2, 100, 600, 1500, 5000, 40_000]) {
    for (let i = 0; i < 12; i++) {
      const count = 1 + random(bound < 1000 ? 60 : 20)
      checkMany(Array.from({ length: count }, () => (random(6) === 0 ? 0 : random(bound))))
    }
  }
})

test('many: more inputs than one call of the kernel takes', () => {
  for (const count of [511, 512, 513, 1500]) {
    checkMany(Array.from({ length: count }, () => random(200)))
  }
})

test('many: as many chunks as a window can hold', () => {
  checkMany(Array.from({ length: 255 }, () => 1025))
  checkMany(Array.from({ length: 513 }, () => 512))
})

test('many: inputs beyond the window', () => {
  checkMany([10, WINDOW_BYTES, 5, WINDOW_BYTES + 1, 0, 700_000, 3, WINDOW_BYTES - 1, 1, 1])
})

test('many: with a gap before each', () => {
  checkMany([0, 1, 64, 1024, 1025, 0, 3000, 288, 5], 32)
  checkMany([10, WINDOW_BYTES, 5, WINDOW_BYTES - 31, 0, 3, WINDOW_BYTES - 32, 1], 32)
  checkMany(
    Array.from({ length: 600 }, () => 1000),
    32,
  )
})

test('many: refuses arrays that are too short', () => {
  const lengths = Uint32Array.of(3, 4)
  assert.throws(() => kernel.hashMany(new Uint8Array(6), lengths, new Uint8Array(64)), RangeError)
  assert.throws(() => kernel.hashMany(new Uint8Array(7), lengths, new Uint8Array(63)), RangeError)
})
