/**
 * What two peers say before the envelope: each shows its certificate and looks at the other's.
 * They go on when both are agents of one user, each under the key that its connection proved.
 *
 * @module
 */
import { jsonString, utf8 } from './canonical-json.ts'
import { Certificate } from './certificate.ts'
import {
  BadCertChainError,
  DifferentUserError,
  EncodingError,
  HandshakeError,
  MeshError,
  quotePeer,
} from './errors.ts'
import { encodeFrame, HANDSHAKE_FRAME_BYTES } from './frame.ts'
import type { FramedStream } from './framed-stream.ts'
import { JsonReader } from './json-reader.ts'
import type { Trust } from './trust.ts'

/** What a peer may answer instead of its certificate. Readers take any other for `Other`. */
export type RejectReason = 'DifferentUser' | 'BadCertChain' | 'Other'

/** The frame that shows a certificate. @throws FrameError when the chain is too long for it. */
export function helloFrame(certificate: Certificate): Uint8Array {
  return encodeFrame(utf8(`{"cert_chain":${certificate.toJson()}}`), HANDSHAKE_FRAME_BYTES)
}

/** The frame that turns a peer away. */
export function rejectFrame(reason: RejectReason): Uint8Array {
  return encodeFrame(utf8(`{"reason":${jsonString('reason', reason)}}`), HANDSHAKE_FRAME_BYTES)
}

/**
 * Read a certificate, or the reason for which there is none.
 * @throws HandshakeError when it is neither.
 */
export function readAnswer(json: Uint8Array): Certificate | { readonly reason: string } {
  try {
    return readHello(json)
  } catch (cause) {
    if (!(cause instanceof MeshError)) throw cause
    try {
      return JsonReader.parse(json, (reader) => {
        let reason: string | undefined
        reader.object({ reason: () => (reason = reader.string()) })
        return { reason: reader.required(reason, 'reason') }
      })
    } catch (error) {
      if (!(error instanceof EncodingError)) throw error
      throw new HandshakeError(`the peer's answer cannot be read: ${cause.message}`, { cause })
    }
  }
}

/**
 * The side of who opened the stream. Nothing but our certificate is sent before the peer's is
 * accepted.
 * @returns the peer's certificate.
 * @throws HandshakeError, DifferentUserError, BadCertChainError, FrameError, PeerClosedError.
 */
export async function greet(
  stream: FramedStream,
  trust: Trust,
  remoteKey: Uint8Array,
): Promise<Certificate> {
  await stream.write(helloFrame(trust.own))
  const json = await stream.readFrame(HANDSHAKE_FRAME_BYTES)
  if (json === undefined) throw new HandshakeError('the peer closed the stream without an answer')
  const answer = readAnswer(json)
  if (!(answer instanceof Certificate)) throw rejection(answer.reason)
  trust.check(answer, remoteKey)
  return answer
}

/**
 * The side of who accepted the stream. A peer whose certificate can be read and is not accepted
 * is told why.
 * @returns the peer's certificate.
 * @throws as {@link greet}.
 */
export async function welcome(
  stream: FramedStream,
  trust: Trust,
  remoteKey: Uint8Array,
): Promise<Certificate> {
  const json = await stream.readFrame(HANDSHAKE_FRAME_BYTES)
  if (json === undefined) throw new HandshakeError('the peer closed the stream without a word')
  let certificate: Certificate
  try {
    certificate = readHello(json)
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    throw new HandshakeError(`the peer's greeting cannot be read: ${cause.message}`, { cause })
  }
  try {
    trust.check(certificate, remoteKey)
  } catch (error) {
    await stream.write(rejectFrame(reasonOf(error)))
    await stream.finish()
    throw error
  }
  await stream.write(helloFrame(trust.own))
  return certificate
}

function readHello(json: Uint8Array): Certificate {
  return JsonReader.parse(json, (reader) => {
    let certificate: Certificate | undefined
    reader.object({ cert_chain: () => (certificate = Certificate.read(reader)) })
    return reader.required(certificate, 'cert_chain')
  })
}

function rejection(reason: string): MeshError {
  if (reason === 'DifferentUser') return new DifferentUserError()
  if (reason === 'BadCertChain') {
    return new BadCertChainError('the peer refused us: it does not accept our certificate')
  }
  return new HandshakeError(`the peer refused us: ${quotePeer(reason)}`)
}

function reasonOf(error: unknown): RejectReason {
  if (error instanceof DifferentUserError) return 'DifferentUser'
  return error instanceof BadCertChainError ? 'BadCertChain' : 'Other'
}
