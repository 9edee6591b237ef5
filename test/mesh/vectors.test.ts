/**
 * Golden values: keys, certificates, envelopes, messages and frames are, byte for byte, those
 * that the Rust crates make and accept.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blake3 } from 'agent-store'
import {
  Agent,
  Certificate,
  Envelope,
  provePossession,
  type Recipient,
  topicFromWire,
  topicToWire,
  UNRESTRICTED,
} from 'agent-store/mesh'
import { decodeBusMessage, encodeBusMessage } from '../../src/mesh/bus-message.ts'
import { ENVELOPE_FRAME_BYTES, encodeFrame } from '../../src/mesh/frame.ts'
import { helloFrame, rejectFrame } from '../../src/mesh/handshake.ts'
import { fromPem, toPem } from '../../src/mesh/identity/key-file.ts'
import { isSignature } from '../../src/mesh/identity/keys.ts'
import { defined, fromHex, toHex, utf8 } from '../support.ts'
import { KEYS, METADATA, VECTORS } from './support.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const certA = () => Certificate.issue(KEYS.user, KEYS.agentA.publicKey, METADATA)
const NONCE = fromHex(VECTORS.envelope.nonce_hex)

function signatureIn(certificate: Certificate): string {
  return toHex(Uint8Array.from(JSON.parse(certificate.toJson()).issuer_sig))
}

test('keys: each seed gives its public key and fingerprint', () => {
  for (const [name, golden] of Object.entries(VECTORS.keys)) {
    const key = defined(Object.entries(KEYS).find(([other]) => other === name))[1]
    assert.equal(toHex(key.publicKey), golden.pub)
    assert.equal(key.fingerprint.toHex(), golden.fingerprint)
    assert.equal(key.fingerprint.short(), golden.short)
  }
})

test('key file: the PEM of the user', () => {
  assert.equal(toPem(KEYS.user), VECTORS.pem)
  assert.deepEqual(fromPem(VECTORS.pem).exportSeed(), KEYS.user.exportSeed())
})

test('certificate: user to agentA', () => {
  const made = certA()
  assert.equal(made.toJson(), VECTORS.certA.cert_json)
  assert.equal(signatureIn(made), VECTORS.certA.issuer_sig_hex)
  assert.ok(made.toJson().includes(`"metadata":${VECTORS.certA.metadata_json},`))
  const read = Certificate.fromJson(utf8(VECTORS.certA.cert_json))
  read.verify()
  assert.equal(read.toJson(), VECTORS.certA.cert_json)
  assert.equal(read.agent.toHex(), VECTORS.keys.agentA.fingerprint)
  assert.equal(read.user.toHex(), VECTORS.keys.user.fingerprint)
  assert.equal(read.depth, 1)
})

test('certificate: hard strings, sorted sets, and an integer beyond 2^53', () => {
  const made = Certificate.issue(KEYS.user, KEYS.agentA.publicKey, {
    role: 'r\u00f4le "q"\\\n\u007f\u2028\u{1f600}',
    host: 'h',
    capabilities: [],
    issuedAt: '2026-01-02T03:04:05Z',
    expiresAt: '2027-01-01T00:00:00Z',
    caveats: {
      ...UNRESTRICTED,
      fsRead: { only: ['/b', '/a', '/b'] },
      fsWrite: { only: [] },
      net: { only: ['\u{1f600}', '\uff5e'] },
      maxCalls: { atMost: 2n ** 64n - 1n },
    },
  })
  const signed = Buffer.from(VECTORS.certCaveats.signed_bytes_hex, 'hex').subarray(32).toString()
  assert.ok(made.toJson().includes(`"metadata":${signed},`))
  assert.equal(signatureIn(made), VECTORS.certCaveats.issuer_sig_hex)
  const read = Certificate.fromJson(utf8(made.toJson()))
  read.verify()
  assert.equal(read.toJson(), made.toJson())
})

test('certificate: delegated by agentA', () => {
  const parent = new Agent(KEYS.agentA, certA())
  const made = parent.delegate({
    ...METADATA,
    role: 'sub',
    capabilities: [],
    caveats: { ...UNRESTRICTED, exec: { only: ['cargo'] }, maxCalls: { atMost: 3n } },
    key: KEYS.delegateD,
  })
  assert.equal(made.certificate.toJson(), VECTORS.certDelegated.cert_json)
  assert.equal(made.certificate.toJson().length, 1575)
  const read = Certificate.fromJson(utf8(VECTORS.certDelegated.cert_json))
  read.verify()
  assert.equal(read.depth, 2)
  assert.equal(read.user.toHex(), VECTORS.keys.user.fingerprint)
})

test('envelope: a doorbell from agentA to agentB', () => {
  const golden = VECTORS.envelope
  const payload = encodeBusMessage({
    kind: 'publish',
    topic: golden.topic_wire,
    body: utf8(golden.body_utf8),
  })
  assert.equal(text(payload), golden.payload_utf8)
  assert.equal(payload.length, golden.payload_len)
  assert.equal(toHex(blake3(payload)), golden.payload_cid_hex)
  const made = Envelope.seal(new Agent(KEYS.agentA, certA()), {
    recipient: { kind: 'direct', agent: KEYS.agentB.fingerprint },
    sequence: 1n,
    payload,
    nonce: NONCE,
  })
  assert.equal(text(made.toJson()), golden.envelope_json)
  assert.equal(made.toJson().length, golden.envelope_json_len)
  assert.equal(toHex(blake3(made.toJson())), golden.envelope_json_blake3)
  const read = Envelope.fromJson(utf8(golden.envelope_json))
  read.verify()
  assert.deepEqual(read.toJson(), made.toJson())
  const frame = encodeFrame(made.toJson(), ENVELOPE_FRAME_BYTES)
  assert.equal(toHex(frame.subarray(0, 4)), VECTORS.frames.envelope_len_prefix_hex)
})

test('envelope: the other two kinds of recipient, and both ends of the sequence', () => {
  const cases: readonly (readonly [(typeof VECTORS)['envelopeTopic'], Recipient])[] = [
    [VECTORS.envelopeTopic, { kind: 'topic', name: 'announce' }],
    [VECTORS.envelopeAnycast, { kind: 'anycast', capability: 'inference' }],
  ]
  for (const [golden, recipient] of cases) {
    const made = Envelope.seal(new Agent(KEYS.agentA, certA()), {
      recipient,
      sequence: BigInt(golden.sequence),
      payload: utf8(golden.payload_utf8),
      nonce: fromHex(golden.nonce_hex),
    })
    const json = JSON.parse(text(made.toJson()))
    assert.equal(toHex(Uint8Array.from(json.agent_sig)), golden.agent_sig_hex)
    assert.ok(text(made.toJson()).includes(`"recipient":${golden.recipient_json},`))
    const read = Envelope.fromJson(made.toJson())
    read.verify()
    assert.deepEqual(read.recipient, recipient)
    assert.equal(read.sequence, BigInt(golden.sequence))
  }
})

test('bus messages: request, reply and publish', () => {
  const topic = VECTORS.envelope.topic_wire
  const correlation = new Uint8Array(16).fill(0xab)
  const body = utf8('hi')
  const made = {
    request: encodeBusMessage({ kind: 'request', topic, correlation, body }),
    reply: encodeBusMessage({ kind: 'reply', correlation, body }),
    publish: encodeBusMessage({ kind: 'publish', topic, body }),
  }
  assert.deepEqual(
    Object.fromEntries(Object.entries(made).map(([kind, json]) => [kind, text(json)])),
    VECTORS.busMessages,
  )
  assert.deepEqual(decodeBusMessage(made.request), { kind: 'request', topic, correlation, body })
  assert.deepEqual(decodeBusMessage(made.reply), { kind: 'reply', correlation, body })
  assert.deepEqual(decodeBusMessage(made.publish), { kind: 'publish', topic, body })
  assert.throws(() => decodeBusMessage(utf8('{"kind":"shout","body":[]}')), {
    code: 'MESH_BAD_BUS_MESSAGE',
    message: /unknown kind of message/,
  })
})

test('topic: the wire form of a doorbell, and back', () => {
  const wire = VECTORS.envelope.topic_wire
  const topic = { user: KEYS.user.fingerprint, name: 'agent-store/doorbell/v1/notes' }
  assert.equal(topicToWire(topic), wire)
  assert.deepEqual(topicFromWire(wire), topic)
})

test('frames: hello and reject', () => {
  const hello = helloFrame(certA())
  assert.equal(toHex(hello.subarray(0, 4)), VECTORS.frames.hello_len_prefix_hex)
  assert.equal(hello.length - 4, VECTORS.frames.hello_len)
  assert.equal(toHex(blake3(hello.subarray(4))), VECTORS.frames.hello_blake3)
  assert.equal(toHex(rejectFrame('DifferentUser')), VECTORS.frames.reject_hex)
})

test('proof of possession: by delegateD for agentA', () => {
  const challenge = {
    issuer: KEYS.agentA.publicKey,
    subject: KEYS.delegateD.publicKey,
    nonce: fromHex(VECTORS.possession.nonce_hex),
  }
  const proof = provePossession(KEYS.delegateD, challenge)
  assert.equal(toHex(proof), VECTORS.possession.sig_by_D_hex)
  const signed = fromHex(VECTORS.possession.signed_bytes_hex)
  assert.ok(isSignature(KEYS.delegateD.publicKey, signed, proof))
})

test('signatures are plain ed25519: the binding to a GitHub user', () => {
  const { signed_bytes_hex, sig_by_otherUser_as_ssh_hex } = VECTORS.github
  assert.equal(toHex(KEYS.otherUser.sign(fromHex(signed_bytes_hex))), sig_by_otherUser_as_ssh_hex)
})

test('every golden signature is over the golden bytes', () => {
  const { user, agentA } = KEYS
  const cases = [
    [user, VECTORS.certA.signed_bytes_hex, VECTORS.certA.issuer_sig_hex],
    [user, VECTORS.certCaveats.signed_bytes_hex, VECTORS.certCaveats.issuer_sig_hex],
    [agentA, VECTORS.certDelegated.signed_bytes_hex, VECTORS.certDelegated.issuer_sig_hex],
    [agentA, VECTORS.envelope.signed_bytes_hex, VECTORS.envelope.agent_sig_hex],
    [agentA, VECTORS.envelopeTopic.signed_bytes_hex, VECTORS.envelopeTopic.agent_sig_hex],
    [agentA, VECTORS.envelopeAnycast.signed_bytes_hex, VECTORS.envelopeAnycast.agent_sig_hex],
  ] as const
  for (const [key, bytes, signature] of cases)
    assert.equal(toHex(key.sign(fromHex(bytes))), signature)
})
