/**
 * Whom an agent talks with: agents of its own user, whose certificates verify, each under the
 * key that its connection proved.
 *
 * Certificates that verified are remembered, in a bounded number, since a peer shows the same one
 * with every message.
 *
 * @module
 */
import { BoundedMap, sameBytes } from '#shared'
import { MeshError } from '../errors.ts'
import type { Certificate } from './certificate.ts'

/** How many certificates are remembered. */
const CAPACITY = 256

/** One agent's view of the others. */
export class Trust {
  /** The agent's own certificate. */
  readonly own: Certificate
  /** The JSON of what verified, which is all that verification looks at. */
  readonly #verified = new BoundedMap<string, true>(CAPACITY)

  constructor(own: Certificate) {
    this.own = own
  }

  /** As {@link Certificate.verify} without a generation, but once for each certificate. */
  verify(certificate: Certificate): void {
    const json = certificate.toJson()
    if (this.#verified.get(json)) return
    certificate.verify()
    // Strangers, who are turned away, must not push out the team.
    if (!certificate.user.equals(this.own.user)) return
    this.#verified.set(json, true)
  }

  /**
   * Whether a peer that shows this certificate may talk with us.
   * @throws MeshError MESH_BAD_CERT_CHAIN, MESH_DIFFERENT_USER, MESH_HANDSHAKE when it is another's.
   */
  check(certificate: Certificate, remoteKey: Uint8Array): void {
    try {
      this.verify(certificate)
    } catch (cause) {
      if (!(cause instanceof MeshError)) throw cause
      throw new MeshError(
        'MESH_BAD_CERT_CHAIN',
        `the peer's certificate does not verify: ${cause.message}`,
        {
          cause,
        },
      )
    }
    if (!certificate.user.equals(this.own.user)) {
      throw new MeshError(
        'MESH_DIFFERENT_USER',
        `the peer belongs to another user, ${certificate.user.short()}`,
      )
    }
    if (!sameBytes(certificate.agentKey, remoteKey)) {
      throw new MeshError(
        'MESH_HANDSHAKE',
        `the peer shows the certificate of ${certificate.agent.short()}, whose key it does not hold`,
      )
    }
  }
}
