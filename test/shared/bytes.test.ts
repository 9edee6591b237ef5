/** Equality of bytes and of rows, and the key of a log. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { sameBytes, sameValues } from '../../src/shared/bytes.ts'
import { logKey } from '../../src/shared/log-key.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

test('bytes are the same by value, and nothing is the same as nothing alone', () => {
  assert.ok(sameBytes(bytes(1, 2), bytes(1, 2)))
  assert.ok(sameBytes(null, null))
  assert.ok(!sameBytes(bytes(), null))
  assert.ok(!sameBytes(null, bytes()))
  assert.ok(!sameBytes(bytes(1), bytes(1, 0)))
})

test('rows are the same cell by cell, and types are told apart', () => {
  assert.ok(sameValues([1n, 'a', bytes(1), null], [1n, 'a', bytes(1), null]))
  for (const [some, others] of [
    [[1n], [1]],
    [[1n], [1n, null]],
    [[bytes(49)], ['1']],
    [[null], [0n]],
  ] as const) {
    assert.ok(!sameValues(some, others))
    assert.ok(!sameValues(others, some))
  }
})

test('no two logs share a key, wherever their names are cut', () => {
  const names = ['', 'a', 'ab', 'b', ' ', 'a b']
  const keys = names.flatMap((stream) => names.map((writer) => logKey({ stream, writer })))
  assert.equal(new Set(keys).size, keys.length)
})
