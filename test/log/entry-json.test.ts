/**
 * The JSON forms of entries and commit events, there and back, and strict on the way back.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  chainHash,
  commitEventFromJson,
  commitEventToJson,
  type Entry,
  entryFromJson,
  entryToJson,
} from 'agent-store'
import { hex } from '../../src/log/entry-json.ts'
import { checkHead, sameHead } from '../../src/shared/head.ts'
import { noise, utf8 } from '../support.ts'

const first: Entry = {
  stream: 'conv:demo',
  writer: 'alice',
  seq: 1n,
  prevHash: null,
  contentHash: chainHash(null, utf8('hello world')),
  payload: utf8('hello world'),
}
const later: Entry = {
  stream: '',
  writer: 'ü🦀',
  seq: 2n ** 63n - 1n,
  prevHash: noise(32, 1),
  contentHash: noise(32, 2),
  payload: noise(1_000, 3),
}

test('an entry has this JSON form', () => {
  assert.deepEqual(entryToJson(first), {
    stream: 'conv:demo',
    writer: 'alice',
    seq: '1',
    contentHash: 'd74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24',
    prevHash: null,
    payload: 'aGVsbG8gd29ybGQ=',
  })
  assert.equal(entryToJson(later).seq, '9223372036854775807')
})

test('entries survive JSON', () => {
  const empty = { ...first, payload: new Uint8Array(0) }
  for (const entry of [first, later, empty]) {
    assert.deepEqual(entryFromJson(JSON.parse(JSON.stringify(entryToJson(entry)))), entry)
  }
})

test('a commit event carries the pointer and never the payload', () => {
  const json = commitEventToJson(first)
  assert.deepEqual(new Set(Object.keys(json)), new Set(['contentHash', 'seq', 'stream', 'writer']))
  const { stream, writer, seq, contentHash } = first
  assert.deepEqual(commitEventFromJson(JSON.parse(JSON.stringify(json))), {
    stream,
    writer,
    seq,
    contentHash,
  })
})

test('a view into a larger buffer gives its own bytes only', () => {
  const buffer = noise(64, 9)
  const event = { ...first, contentHash: buffer.subarray(16, 48) }
  assert.equal(
    commitEventToJson(event).contentHash,
    Buffer.from(buffer).toString('hex').slice(32, 96),
  )
  assert.equal(hex(buffer.subarray(1, 3)).length, 4)
})

const json = entryToJson(later)
const REFUSED: readonly (readonly [string, unknown, RegExp])[] = [
  ['no object', null, /json must be an object, got null/],
  ['a string', 'x', /json must be an object/],
  ['a stream that is no string', { ...json, stream: 5 }, /stream must be a string/],
  ['a lone surrogate', { ...json, writer: '\ud800' }, /writer holds a lone surrogate/],
  ['a NUL', { ...json, stream: 'a\0b' }, /stream holds a NUL/],
  ['a seq that is a number', { ...json, seq: 5 }, /seq must be a decimal string/],
  ['seq 0', { ...json, seq: '0' }, /seq must be a decimal string/],
  ['a negative seq', { ...json, seq: '-1' }, /seq must be a decimal string/],
  ['a seq with a leading zero', { ...json, seq: '01' }, /seq must be a decimal string/],
  ['a seq with a line end', { ...json, seq: '1\n' }, /seq must be a decimal string/],
  ['a seq beyond 2^63-1', { ...json, seq: '9223372036854775808' }, /seq must be from 1 to/],
  ['an upper-case hash', { ...json, contentHash: 'A'.repeat(64) }, /contentHash must be 64/],
  ['a short hash', { ...json, contentHash: 'a'.repeat(63) }, /contentHash must be 64/],
  ['a missing hash', { ...json, contentHash: undefined }, /contentHash must be 64/],
  ['a wrong prevHash', { ...json, prevHash: 'zz' }, /prevHash must be 64/],
  ['no prevHash past seq 1', { ...json, prevHash: null }, /prevHash must be null for seq 1/],
  ['a prevHash at seq 1', { ...json, seq: '1' }, /prevHash must be null for seq 1/],
  ['base64url', { ...json, payload: '_-8=' }, /payload must be base64/],
  ['base64 without padding', { ...json, payload: 'YQ' }, /payload must be base64/],
  ['base64 with spare bits', { ...json, payload: 'YR==' }, /payload must be base64/],
  ['a missing payload', { ...json, payload: undefined }, /payload must be base64/],
]
for (const [name, value, message] of REFUSED) {
  test(`refused from JSON: ${name}`, () => {
    assert.throws(
      () => entryFromJson(value),
      (error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError)
        assert.match(error.message, message)
        return true
      },
    )
  })
}

test('a head is checked field by field', () => {
  checkHead('from', { seq: 1n, contentHash: new Uint8Array(32) })
  assert.throws(() => checkHead('from', 5), /from must be \{ seq, contentHash \}, got number/)
  assert.throws(() => checkHead('from', { seq: 0n, contentHash: new Uint8Array(32) }), RangeError)
  assert.throws(() => checkHead('from', { seq: 1, contentHash: new Uint8Array(32) }), TypeError)
  assert.throws(() => checkHead('from', { seq: 1n, contentHash: new Uint8Array(31) }), RangeError)
})

test('two heads are the same when seq and hash are', () => {
  assert.equal(sameHead(null, null), true)
  assert.equal(sameHead(first, null), false)
  assert.equal(sameHead(null, first), false)
  assert.equal(sameHead(first, { seq: 1n, contentHash: first.contentHash.slice() }), true)
  assert.equal(sameHead(first, { seq: 2n, contentHash: first.contentHash }), false)
  assert.equal(sameHead(first, { seq: 1n, contentHash: noise(32, 4) }), false)
})
