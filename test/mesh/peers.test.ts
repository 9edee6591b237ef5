/**
 * Peers as they are written down, and the names of topics.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  doorbellTopic,
  fingerprintOf,
  formatPeer,
  PeerList,
  parsePeer,
  topicFromWire,
  topicToWire,
} from 'agent-store/mesh'
import { KEYS, VECTORS } from './support.ts'

const A = VECTORS.keys.agentA.pub
const user = KEYS.user.fingerprint

test('a peer is its public key and its addresses', () => {
  const peer = parsePeer(`${A}@127.0.0.1:4433,[2001:db8::7]:1`)
  assert.deepEqual(peer.publicKey, KEYS.agentA.publicKey)
  assert.deepEqual(peer.addresses, ['127.0.0.1:4433', '[2001:db8::7]:1'])
  assert.equal(formatPeer(peer), `${A}@127.0.0.1:4433,[2001:db8::7]:1`)
  assert.ok(fingerprintOf(peer).equals(KEYS.agentA.fingerprint))
  assert.deepEqual(parsePeer(`${A.toUpperCase()}@127.0.0.1:4433`).publicKey, peer.publicKey)
  for (const wrong of [
    '',
    A,
    `${A}@`,
    `${A}@127.0.0.1`,
    `${A}@127.0.0.1:0`,
    `${A}@127.0.0.1:65536`,
    `${A}@localhost:1`,
    `${A}@::1:1`,
    `${A}@[127.0.0.1]:1`,
    `${A}@127.0.0.1:1,`,
    `${A.slice(1)}@127.0.0.1:1`,
    `x${A}@127.0.0.1:1`,
  ]) {
    assert.throws(() => parsePeer(wrong), /^RangeError: peer must be/, wrong)
  }
})

test('a list finds, moves and forgets peers, and cannot be changed from outside', async () => {
  const addresses = ['127.0.0.1:1']
  const list = new PeerList([{ publicKey: KEYS.agentA.publicKey, addresses }])
  addresses.push('127.0.0.1:2')
  assert.deepEqual((await list.resolve(KEYS.agentA.fingerprint))?.addresses, ['127.0.0.1:1'])
  list.add(parsePeer(`${A}@127.0.0.1:3`))
  assert.deepEqual(
    list.list().map((peer) => peer.addresses),
    [['127.0.0.1:3']],
  )
  assert.equal(await list.resolve(KEYS.agentB.fingerprint), undefined)
  assert.equal(list.remove(KEYS.agentA.fingerprint), true)
  assert.equal(list.remove(KEYS.agentA.fingerprint), false)
  assert.deepEqual(list.list(), [])
  assert.throws(
    () => list.add({ publicKey: new Uint8Array(31), addresses: [] }),
    /^RangeError: peer.publicKey must have 32 bytes/,
  )
})

test('names of topics are any text and come back', () => {
  for (const name of ['', 'namespace:sub', 'drake/work', ':', 'a\nb', '✎']) {
    assert.deepEqual(topicFromWire(topicToWire({ user, name })), { user, name })
  }
  assert.deepEqual(topicFromWire(`${user.toHex().toUpperCase()}:x`), { user, name: 'x' })
  for (const wrong of ['notopic', ':echo', 'zz:echo', user.toHex(), `x${user.toHex()}:echo`]) {
    assert.equal(topicFromWire(wrong), undefined, wrong)
  }
})

test('a doorbell has the name of its stream, of up to 512 bytes', () => {
  assert.equal(doorbellTopic('notes'), 'agent-store/doorbell/v1/notes')
  assert.equal(doorbellTopic('é'.repeat(256)).length, 24 + 256)
  assert.throws(
    () => doorbellTopic('é'.repeat(257)),
    /^RangeError: stream must have at most 512 bytes, got 514$/,
  )
  assert.throws(() => doorbellTopic('\ud800'), /^TypeError: stream/)
})
