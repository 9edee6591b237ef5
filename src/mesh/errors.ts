/**
 * What can go wrong on the mesh, as a small tree under {@link StoreError}: each class has a
 * stable `code`. Nothing that a peer sends makes anything else be thrown.
 *
 * @module
 */
import { type Fingerprint, quote, StoreError } from '../index.ts'

/** Root of every failure that the mesh itself reports. */
export abstract class MeshError extends StoreError {}

/** A key file cannot be read or written; `cause` holds the system's own error. */
export class KeyFileError extends MeshError {
  readonly code = 'MESH_KEY_FILE'
}

/** A key is not what it should be: its PEM, its DER, or its public half. */
export class InvalidKeyError extends MeshError {
  readonly code = 'MESH_INVALID_KEY'
}

/** Bytes are not the JSON of the structure that was expected. */
export class EncodingError extends MeshError {
  readonly code = 'MESH_ENCODING'
}

/** An ed25519 signature does not verify, or a key is not the one that a certificate names. */
export class BadSignatureError extends MeshError {
  readonly code = 'MESH_BAD_SIGNATURE'
}

/** A certificate chain does not hang together, or is too deep. */
export class InvalidCertChainError extends MeshError {
  readonly code = 'MESH_INVALID_CERT_CHAIN'
}

/** A delegated certificate grants more than its parent has. */
export class CaveatAmplificationError extends MeshError {
  readonly code = 'MESH_CAVEAT_AMPLIFICATION'
}

/** A certificate is limited to generations, of which the current one is none. */
export class CertificateGenerationError extends MeshError {
  readonly code = 'MESH_CERTIFICATE_GENERATION'
  /** The generation that was asked for; `undefined` where none is known, as on the bus. */
  readonly current: bigint | undefined

  constructor(current: bigint | undefined) {
    super(
      current === undefined
        ? 'the certificate is limited to generations, and there is no current one here'
        : `the certificate is not valid in generation ${current}`,
    )
    this.current = current
  }
}

/** The payload of an envelope is not the one that was signed. */
export class MalformedEnvelopeError extends MeshError {
  readonly code = 'MESH_MALFORMED_ENVELOPE'
}

/** A true envelope that is not ours to open: another carrier, user or recipient. */
export class NotAdmittedError extends MeshError {
  readonly code = 'MESH_NOT_ADMITTED'
}

/** The nonce of an envelope has been seen before. */
export class ReplayError extends MeshError {
  readonly code = 'MESH_REPLAY'
}

/** The sequence number of an envelope is not above all earlier ones of its sender. */
export class BadSequenceError extends MeshError {
  readonly code = 'MESH_BAD_SEQUENCE'
  /** The least number that would have been accepted. */
  readonly expected: bigint
  readonly actual: bigint

  constructor(expected: bigint, actual: bigint) {
    super(`sequence ${actual} is out of order, expected ${expected} or more`)
    this.expected = expected
    this.actual = actual
  }
}

/** The payload of a true envelope is no bus message. */
export class BadBusMessageError extends MeshError {
  readonly code = 'MESH_BAD_BUS_MESSAGE'
}

/** What came on a doorbell's topic announces no commit. */
export class BadBellError extends MeshError {
  readonly code = 'MESH_BAD_BELL'
}

/** A frame is larger than its limit, or the stream ended inside it. */
export class FrameError extends MeshError {
  readonly code = 'MESH_FRAME'
}

/** A handshake failed for another reason than trust: unreadable, or another agent's. */
export class HandshakeError extends MeshError {
  readonly code = 'MESH_HANDSHAKE'
}

/** The peer belongs to another user, or says that we do. */
export class DifferentUserError extends MeshError {
  readonly code = 'MESH_DIFFERENT_USER'
  /** Whose the peer is; `undefined` where it refused us without telling. */
  readonly theirs: Fingerprint | undefined

  constructor(theirs?: Fingerprint) {
    super(
      theirs === undefined
        ? 'the peer refused us: it belongs to another user'
        : `the peer belongs to another user, ${theirs.short()}`,
    )
    this.theirs = theirs
  }
}

/** A certificate shown in a handshake does not verify; `cause` says why, where it was we who looked. */
export class BadCertChainError extends MeshError {
  readonly code = 'MESH_BAD_CERT_CHAIN'
}

/** The connection or the stream is gone. */
export class PeerClosedError extends MeshError {
  readonly code = 'MESH_PEER_CLOSED'
}

/** The transport failed; `cause` holds its own error. */
export class TransportError extends MeshError {
  readonly code = 'MESH_TRANSPORT'
}

/** Nobody answers where the peer should be, or nobody knows where it is. */
export class UnreachableError extends MeshError {
  readonly code = 'MESH_UNREACHABLE'
}

/** A peer did not do its part in time. */
export class MeshTimeoutError extends MeshError {
  readonly code = 'MESH_TIMEOUT'
  /** What took too long. */
  readonly step: string
  readonly timeoutMs: number

  constructor(step: string, timeoutMs: number) {
    super(`${step} took longer than ${timeoutMs} ms`)
    this.step = step
    this.timeoutMs = timeoutMs
  }
}

/** Too many messages wait for one peer. This one was not sent. */
export class BacklogError extends MeshError {
  readonly code = 'MESH_BACKLOG'
}

/** The bus or the transport was closed. */
export class MeshClosedError extends MeshError {
  readonly code = 'MESH_CLOSED'
}

/** Text of a peer as a message shows it: quoted, so that it cannot forge a line of a log. */
export function quotePeer(text: string): string {
  // JSON leaves these literal: DEL, the C1 controls, and marks that turn the direction of writing.
  return quote(text).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
