/**
 * The failures of the mesh, as a small tree under {@link StoreError}. Nothing that a peer
 * sends makes anything else be thrown.
 *
 * A class of its own has what changes what a caller does next: wait, try again, or give the bus
 * up. Every other refusal is a {@link MeshError} that its `code` tells apart.
 *
 * @module
 */
import { nameErrors, quote } from '#shared'
import { StoreError } from '../index.ts'

/** The stable codes of {@link MeshError}. `docs/errors.md` says what each one means. */
export type MeshErrorCode =
  | 'MESH_BACKLOG'
  | 'MESH_BAD_BELL'
  | 'MESH_BAD_BUS_MESSAGE'
  | 'MESH_BAD_CERT_CHAIN'
  | 'MESH_BAD_SEQUENCE'
  | 'MESH_BAD_SIGNATURE'
  | 'MESH_CAVEAT_AMPLIFICATION'
  | 'MESH_CERTIFICATE_GENERATION'
  | 'MESH_CLOSED'
  | 'MESH_DIFFERENT_USER'
  | 'MESH_ENCODING'
  | 'MESH_FRAME'
  | 'MESH_HANDSHAKE'
  | 'MESH_INVALID_CERT_CHAIN'
  | 'MESH_INVALID_KEY'
  | 'MESH_KEY_FILE'
  | 'MESH_MALFORMED_ENVELOPE'
  | 'MESH_NOT_ADMITTED'
  | 'MESH_PEER_CLOSED'
  | 'MESH_REPLAY'
  | 'MESH_TIMEOUT'
  | 'MESH_TRANSPORT'
  | 'MESH_UNREACHABLE'

/** A failure that the mesh itself reports; `code` says which. */
export class MeshError extends StoreError {
  readonly code: MeshErrorCode

  constructor(code: MeshErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The connection or the stream is gone. */
export class PeerClosedError extends MeshError {
  constructor(message: string, options?: ErrorOptions) {
    super('MESH_PEER_CLOSED', message, options)
  }
}

/** The transport failed; `cause` holds its own error. */
export class TransportError extends MeshError {
  constructor(message: string, options?: ErrorOptions) {
    super('MESH_TRANSPORT', message, options)
  }
}

/** Nobody answers where the peer should be, or nobody knows where the peer is. */
export class UnreachableError extends MeshError {
  constructor(message: string, options?: ErrorOptions) {
    super('MESH_UNREACHABLE', message, options)
  }
}

/** A peer did not do its part in time. */
export class MeshTimeoutError extends MeshError {
  /** What took too long. */
  readonly step: string
  readonly timeoutMs: number

  constructor(step: string, timeoutMs: number) {
    super('MESH_TIMEOUT', `${step} took longer than ${timeoutMs} ms`)
    this.step = step
    this.timeoutMs = timeoutMs
  }
}

/** Too many messages wait for one peer. This one was not sent. */
export class BacklogError extends MeshError {
  constructor(message: string, options?: ErrorOptions) {
    super('MESH_BACKLOG', message, options)
  }
}

/** The bus or the transport was closed. */
export class MeshClosedError extends MeshError {
  constructor(message: string, options?: ErrorOptions) {
    super('MESH_CLOSED', message, options)
  }
}

nameErrors({
  MeshError,
  PeerClosedError,
  TransportError,
  UnreachableError,
  MeshTimeoutError,
  BacklogError,
  MeshClosedError,
})

/** Whether `error` is the mesh's own, with this code. */
export function hasCode(error: unknown, code: MeshErrorCode): error is MeshError {
  return error instanceof MeshError && error.code === code
}

/** Text of a peer as a message shows it: quoted, so that it cannot forge a line of a log. */
export function quotePeer(text: string): string {
  // JSON leaves these literal: DEL, the C1 controls, and marks that turn the direction of writing.
  return quote(text).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
