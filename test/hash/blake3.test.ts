/**
 * BLAKE3 against the vectors of its authors, and against an independent implementation.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { blake3 as noble } from '@noble/hashes/blake3.js'
import { Blake3, blake3, chainHash } from 'agent-store'
import { hashMany } from '../../src/hash/chain.ts'
import { noise, numbers, toHex, utf8 } from '../support.ts'
import vectors from './blake3-vectors.json' with { type: 'json' }

const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251)

test('the empty input and "abc" have the digests that everyone knows', () => {
  assert.equal(
    toHex(blake3(new Uint8Array(0))),
    'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
  )
  assert.equal(
    toHex(blake3(utf8('abc'))),
    '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85',
  )
})

test('the published vectors hold, in one piece and byte by byte', () => {
  assert.equal(vectors.cases.length, 35)
  for (const { inputLength, hash } of vectors.cases) {
    const input = pattern(inputLength)
    assert.equal(toHex(blake3(input)), hash, `${inputLength} bytes`)
    const hasher = new Blake3()
    for (let i = 0; i < inputLength; i++) hasher.update(input.subarray(i, i + 1))
    assert.equal(toHex(hasher.digest()), hash, `${inputLength} bytes, one at a time`)
  }
})

test('every length class agrees with @noble/hashes', () => {
  const next = numbers(0x5eed)
  const lengths = [
    ...Array.from({ length: 140 }, (_, i) => i),
    ...[960, 1023, 1024, 1025, 1088],
    ...Array.from({ length: 20 }, (_, i) => (i + 1) * 1024 + next(3) - 1),
    ...Array.from({ length: 40 }, () => next(20_000)),
    ...[32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 131_072, 262_145],
  ]
  for (const length of lengths) {
    const input = noise(length, length + 1)
    assert.equal(toHex(blake3(input)), toHex(noble(input)), `${length} bytes`)
  }
})

test('how the input is split does not matter', () => {
  const next = numbers(7)
  for (let round = 0; round < 60; round++) {
    const input = noise(next(12_000), round + 1)
    const hasher = new Blake3()
    for (let at = 0; at < input.length; ) {
      const take = next(3) === 0 ? next(70) : next(2_500)
      hasher.update(input.subarray(at, at + take))
      at += take
    }
    assert.equal(toHex(hasher.digest()), toHex(noble(input)), `round ${round}`)
  }
})

test("a hasher is empty again after a digest, and its digest is nobody else's array", () => {
  const hasher = new Blake3()
  for (const length of [5_000, 3, 0, 1024, 64, 1025]) {
    const input = noise(length, 99)
    assert.equal(toHex(hasher.update(input).digest()), toHex(noble(input)), `${length} bytes`)
  }
  const first = hasher.digest()
  const before = toHex(first)
  hasher.update(utf8('more')).digest()
  assert.equal(toHex(first), before)
})

test('update keeps nothing of the array it was given', () => {
  const input = noise(100, 3)
  const expected = toHex(noble(input))
  const hasher = new Blake3().update(input)
  input.fill(0)
  assert.equal(toHex(hasher.digest()), expected)
})

test('digestInto writes 32 bytes where it is told and nothing else', () => {
  const out = new Uint8Array(40).fill(0xee)
  new Blake3().update(utf8('abc')).digestInto(out, 4)
  assert.equal(toHex(out.subarray(4, 36)), toHex(noble(utf8('abc'))))
  assert.equal(toHex(out.subarray(0, 4)), 'eeeeeeee')
  assert.equal(toHex(out.subarray(36)), 'eeeeeeee')
})

test('a chain hash covers the hash before and the payload, and nothing for the first', () => {
  const payload = utf8('hello world')
  assert.equal(toHex(chainHash(null, payload)), toHex(noble(payload)))
  const prev = noise(32, 5)
  assert.equal(toHex(chainHash(prev, payload)), toHex(noble(Buffer.concat([prev, payload]))))
})

test('hashMany gives the digest of each of the inputs that lie back to back', () => {
  const lengths = Uint32Array.of(0, 1, 0, 64, 65, 1024, 1025, 3000, 0)
  const inputs = Array.from(lengths, (length, i) => noise(length, i + 1))
  const digests = hashMany(new Uint8Array(Buffer.concat(inputs)), lengths)
  assert.equal(digests.length, 32 * lengths.length)
  inputs.forEach((input, i) => {
    assert.equal(toHex(digests.subarray(32 * i, 32 * (i + 1))), toHex(noble(input)), `input ${i}`)
  })
  assert.equal(hashMany(new Uint8Array(0), new Uint32Array(0)).length, 0)
})
