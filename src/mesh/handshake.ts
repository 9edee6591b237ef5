/**
 * What two peers say before the envelope: each shows its certificate and looks at the other's.
 * They go on when both are agents of one user, each under the key that its connection proved.
 *
 * @module
 */

import { hasCode, MeshError, quotePeer } from './errors.ts'
import { encodeFrame, HANDSHAKE_FRAME_BYTES } from './frame.ts'
import type { FramedStream } from './framed-stream.ts'
import { Certificate } from './identity/certificate.ts'
import type { Trust } from './identity/trust.ts'
import { jsonString, utf8 } from './json/canonical-json.ts'
import { JsonReader } from './json/strict-json.ts'

/** What a peer may answer instead of its certificate. Readers take any other for `Other`. */
export type RejectReason = 'DifferentUser' | 'BadCertChain' | 'Other'

/** The frame that shows a certificate. @throws MeshError MESH_FRAME when the chain is too long for it. */
export function helloFrame(certificate: Certificate): Uint8Array {
  return encodeFrame(utf8(`{"cert_chain":${certificate.toJson()}}`), HANDSHAKE_FRAME_BYTES)
}

/** The frame that turns a peer away. */
export function rejectFrame(reason: RejectReason): Uint8Array {
  return encodeFrame(utf8(`{"reason":${jsonString('reason', reason)}}`), HANDSHAKE_FRAME_BYTES)
}

/**
 * Read a certificate, or the reason for which there is none.
 * @throws MeshError MESH_HANDSHAKE when it is neither.
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
      if (!hasCode(error, 'MESH_ENCODING')) throw error
      throw new MeshError('MESH_HANDSHAKE', `the peer's answer cannot be read: ${cause.message}`, {
        cause,
      })
    }
  }
}

/**
 * The side of who opened the stream. Nothing but our certificate is sent before the peer's is
 * accepted.
 * @returns the peer's certificate.
 * @throws MeshError MESH_HANDSHAKE, MESH_DIFFERENT_USER, MESH_BAD_CERT_CHAIN, MESH_FRAME, PeerClosedError.
 */
export async function greet(
  stream: FramedStream,
  trust: Trust,
  remoteKey: Uint8Array,
): Promise<Certificate> {
  await stream.write(helloFrame(trust.own))
  const json = await stream.readFrame(HANDSHAKE_FRAME_BYTES)
  if (json === undefined)
    throw new MeshError('MESH_HANDSHAKE', 'the peer closed the stream without an answer')
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
  if (json === undefined)
    throw new MeshError('MESH_HANDSHAKE', 'the peer closed the stream without a word')
  let certificate: Certificate
  try {
    certificate = readHello(json)
  } catch (cause) {
    if (!hasCode(cause, 'MESH_ENCODING')) throw cause
    throw new MeshError('MESH_HANDSHAKE', `the peer's greeting cannot be read: ${cause.message}`, {
      cause,
    })
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
  if (reason === 'DifferentUser') {
    return new MeshError('MESH_DIFFERENT_USER', 'the peer refused us: it belongs to another user')
  }
  if (reason === 'BadCertChain') {
    return new MeshError(
      'MESH_BAD_CERT_CHAIN',
      'the peer refused us: it does not accept our certificate',
    )
  }
  return new MeshError('MESH_HANDSHAKE', `the peer refused us: ${quotePeer(reason)}`)
}

function reasonOf(error: unknown): RejectReason {
  if (hasCode(error, 'MESH_DIFFERENT_USER')) return 'DifferentUser'
  return hasCode(error, 'MESH_BAD_CERT_CHAIN') ? 'BadCertChain' : 'Other'
}
