/**
 * Every failure of the mesh is a StoreError with a code that never changes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from 'agent-store'
import * as mesh from 'agent-store/mesh'
import { quotePeer } from 'agent-store/mesh'
import { KEYS } from './support.ts'

const CODES: Readonly<Record<string, string>> = {
  BacklogError: 'MESH_BACKLOG',
  BadBellError: 'MESH_BAD_BELL',
  BadBusMessageError: 'MESH_BAD_BUS_MESSAGE',
  BadCertChainError: 'MESH_BAD_CERT_CHAIN',
  BadSequenceError: 'MESH_BAD_SEQUENCE',
  BadSignatureError: 'MESH_BAD_SIGNATURE',
  CaveatAmplificationError: 'MESH_CAVEAT_AMPLIFICATION',
  CertificateGenerationError: 'MESH_CERTIFICATE_GENERATION',
  DifferentUserError: 'MESH_DIFFERENT_USER',
  EncodingError: 'MESH_ENCODING',
  FrameError: 'MESH_FRAME',
  HandshakeError: 'MESH_HANDSHAKE',
  InvalidCertChainError: 'MESH_INVALID_CERT_CHAIN',
  InvalidKeyError: 'MESH_INVALID_KEY',
  KeyFileError: 'MESH_KEY_FILE',
  MalformedEnvelopeError: 'MESH_MALFORMED_ENVELOPE',
  MeshClosedError: 'MESH_CLOSED',
  MeshTimeoutError: 'MESH_TIMEOUT',
  NotAdmittedError: 'MESH_NOT_ADMITTED',
  PeerClosedError: 'MESH_PEER_CLOSED',
  ReplayError: 'MESH_REPLAY',
  TransportError: 'MESH_TRANSPORT',
  UnreachableError: 'MESH_UNREACHABLE',
}

test('each class has its code, a name, and is a StoreError', () => {
  const plain = Object.entries(mesh).filter(
    ([name, value]) => name.endsWith('Error') && value !== mesh.MeshError,
  )
  assert.deepEqual(new Set(plain.map(([name]) => name)), new Set(Object.keys(CODES)))
  for (const [name, made] of plain) {
    const Made = made as new () => mesh.MeshError
    const error = new Made()
    assert.ok(error instanceof mesh.MeshError && error instanceof StoreError, name)
    assert.equal(error.name, name)
    assert.equal(error.code, CODES[name])
  }
  assert.equal(new Set(Object.values(CODES)).size, plain.length)
})

test('the fields of each case are there to act on', () => {
  const sequence = new mesh.BadSequenceError(6n, 4n)
  assert.deepEqual([sequence.expected, sequence.actual], [6n, 4n])
  assert.equal(sequence.message, 'sequence 4 is out of order, expected 6 or more')
  assert.equal(new mesh.CertificateGenerationError(4n).current, 4n)
  assert.equal(new mesh.CertificateGenerationError(undefined).current, undefined)
  const late = new mesh.MeshTimeoutError('the handshake', 5_000)
  assert.deepEqual([late.step, late.timeoutMs], ['the handshake', 5_000])
  assert.equal(late.message, 'the handshake took longer than 5000 ms')
  const user = KEYS.otherUser.fingerprint
  assert.ok(new mesh.DifferentUserError(user).theirs?.equals(user))
  assert.equal(new mesh.DifferentUserError().theirs, undefined)
})

test("a peer's text cannot forge a line of a log, nor turn it around", () => {
  assert.equal(quotePeer('a\nb\u001b[2J'), '"a\\nb\\u001b[2J"')
  assert.equal(quotePeer('\u007f\u0085\u2028\u202e\u2066'), '"\\u007f\\u0085\\u2028\\u202e\\u2066"')
  assert.equal(quotePeer('r\u00f4le \u{1f600}'), '"r\u00f4le \u{1f600}"')
  assert.ok(quotePeer('x'.repeat(10_000)).length < 100)
})
