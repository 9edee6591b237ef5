/** A bell on the mesh is the golden one's, byte for byte, and nothing else passes for one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommitEvent } from 'agent-store'
import { DOORBELL_PREFIX } from 'agent-store/mesh'
import { decodeBell, encodeBell } from '../../src/mesh/doorbell-message.ts'
import { fromHex, utf8 } from '../support.ts'
import { VECTORS } from './support.ts'

const HASH = 'ab'.repeat(32)
const EVENT: CommitEvent = { stream: 's', writer: 'w', seq: 7n, contentHash: fromHex(HASH) }
const TOPIC = `${DOORBELL_PREFIX}s`
const bell = (members: string) => utf8(`{${members}}`)
const GOOD = `"v":1,"stream":"s","writer":"w","seq":7,"content_hash":"${HASH}"`

test('the golden bell reads, and is written again as it was', () => {
  const body = utf8(VECTORS.envelope.body_utf8)
  const topic = VECTORS.envelope.topic_wire.slice(65)
  const event = decodeBell(topic, body)
  assert.ok(event !== undefined)
  assert.deepEqual(encodeBell(event), body)
})

test('names of any kind and the largest seq come back as they were', () => {
  for (const event of [
    { ...EVENT, stream: '', writer: '' },
    { ...EVENT, stream: 'conv:"1"\n\u2028', writer: '\u{1f600}' },
    { ...EVENT, seq: 2n ** 63n - 1n },
  ]) {
    assert.deepEqual(decodeBell(DOORBELL_PREFIX + event.stream, encodeBell(event)), event)
  }
})

test('members in any order, further ones, and a hash as an array are read', () => {
  const hash = JSON.stringify(Array.from(EVENT.contentHash))
  for (const body of [
    `"content_hash":"${HASH}","seq":7,"writer":"w","stream":"s","v":1`,
    `${GOOD},"more":{"v":[2]}`,
    `"v":1,"stream":"s","writer":"w","seq":7,"content_hash":${hash}`,
  ]) {
    assert.deepEqual(decodeBell(TOPIC, bell(body)), EVENT)
  }
})

test('another version is not for us, whatever else it holds', () => {
  assert.equal(decodeBell(TOPIC, bell('"v":2,"stream":[1]')), undefined)
  assert.equal(decodeBell(TOPIC, bell('"v":0')), undefined)
})

test('what announces nothing that could be is refused', () => {
  for (const body of [
    '',
    'null',
    '{}',
    '{"v":"1"}',
    `{${GOOD}`,
    `{${GOOD}}x`,
    `{${GOOD.replace('"seq":7', '"seq":0')}}`,
    `{${GOOD.replace('"seq":7', `"seq":${2n ** 63n}`)}}`,
    `{${GOOD.replace('"seq":7', '"seq":1.5')}}`,
    `{${GOOD.replace('"seq":7', '"seq":-1')}}`,
    `{${GOOD.replace(HASH, HASH.toUpperCase())}}`,
    `{${GOOD.replace(HASH, HASH.slice(2))}}`,
    `{${GOOD.replace('"stream":"s"', '"stream":"t"')}}`,
    `{${GOOD.replace('"writer":"w"', '"writer":"\\u0000"')}}`,
    `{${GOOD.replace('"writer":"w"', '"writer":"\\ud800"')}}`,
    `{${GOOD},"seq":8}`,
    `{${GOOD},"more":"${'x'.repeat(4_096)}"}`,
  ]) {
    assert.throws(() => decodeBell(TOPIC, utf8(body)), { code: 'MESH_BAD_BELL' }, body.slice(0, 80))
  }
  assert.throws(() => decodeBell(TOPIC, new Uint8Array([0xff])), { code: 'MESH_BAD_BELL' })
})

test('names that are too long for a bell are refused before they are sent', () => {
  assert.throws(() => encodeBell({ ...EVENT, writer: 'x'.repeat(4_000) }), /4096 bytes/)
})
