/** The chain's hash, by either kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blake3, chainHash } from 'agent-store'
import { hashMany, typescriptKernel } from '../../src/hash/chain.ts'
import { noise, utf8 } from '../support.ts'

const LENGTHS = [0, 1, 31, 32, 63, 64, 65, 256, 991, 992, 993, 1023, 1024, 1025, 4096, 70_000]

test('an entry covers the hash before it, the first one nothing', () => {
  const payload = utf8('hello world')
  const first = chainHash(null, payload)
  assert.deepEqual(first, blake3(payload))
  const joined = new Uint8Array([...first, ...payload])
  assert.deepEqual(chainHash(first, payload), blake3(joined))
})

test('the TypeScript kernel gives what the chosen one gives', () => {
  const kernel = typescriptKernel()
  const head = noise(32, 1)
  for (const length of LENGTHS) {
    const payload = noise(length, length + 2)
    assert.deepEqual(kernel.hash(payload), blake3(payload), `${length} bytes`)
    assert.deepEqual(kernel.hash(head, payload), chainHash(head, payload), `32 + ${length} bytes`)
  }
})

test('many inputs back to back give one digest each, by both kernels', () => {
  const inputs = LENGTHS.map((length) => noise(length, length + 7))
  const packed = new Uint8Array(Buffer.concat(inputs))
  const expected = new Uint8Array(Buffer.concat(inputs.map((input) => blake3(input))))
  const lengths = Uint32Array.from(LENGTHS)
  assert.deepEqual(hashMany(packed, lengths), expected)
  const digests = new Uint8Array(expected.length)
  typescriptKernel().hashMany(packed, lengths, digests)
  assert.deepEqual(digests, expected)
})

test('bytes between the inputs are left out, by both kernels', () => {
  const inputs = LENGTHS.map((length) => noise(length, length + 7))
  const gap = noise(32, 3)
  const packed = new Uint8Array(Buffer.concat(inputs.flatMap((input) => [gap, input])))
  const expected = new Uint8Array(Buffer.concat(inputs.map((input) => blake3(input))))
  const lengths = Uint32Array.from(LENGTHS)
  assert.deepEqual(hashMany(packed, lengths, 32), expected)
  const digests = new Uint8Array(expected.length)
  typescriptKernel().hashMany(packed, lengths, digests, 32)
  assert.deepEqual(digests, expected)
})
