/**
 * Who may ring: everything that an envelope must be before it reaches a subscriber, in the order
 * in which it is checked. Nothing is remembered of an envelope that is not ours to open.
 *
 * The checks of the newer Rust receivers (0.6.4 and later) are always on: the signer is the one
 * that carried the envelope, is of our user, and wrote to us.
 *
 * @module
 */
import { type BusMessage, decodeBusMessage } from './bus-message.ts'
import type { Envelope } from './envelope.ts'
import { MeshError } from './errors.ts'
import type { Certificate } from './identity/certificate.ts'
import type { Trust } from './identity/trust.ts'
import { NonceCache, SequenceTracker } from './replay.ts'

/** One agent's memory of what it received. It starts empty with each process. */
export class Inbox {
  readonly #trust: Trust
  readonly #nonces = new NonceCache()
  readonly #sequences = new SequenceTracker()

  constructor(trust: Trust) {
    this.#trust = trust
  }

  /**
   * Check an envelope that `carrier` brought, and give its message.
   * @param carrier the certificate that was checked in the handshake.
   * @throws as Envelope.verify; MESH_NOT_ADMITTED, MESH_REPLAY, MESH_BAD_SEQUENCE.
   * @throws MeshError MESH_BAD_BUS_MESSAGE; nonce and sequence number are used up all the same.
   */
  admit(envelope: Envelope, carrier: Certificate): BusMessage {
    envelope.verify((certificate) => this.#trust.verify(certificate))
    const { certificate, recipient } = envelope
    const sender = certificate.agent
    if (!sender.equals(carrier.agent)) {
      throw new MeshError(
        'MESH_NOT_ADMITTED',
        `an envelope by ${sender.short()} was brought by ${carrier.agent.short()}`,
      )
    }
    if (!certificate.user.equals(this.#trust.own.user)) {
      throw new MeshError(
        'MESH_NOT_ADMITTED',
        `the envelope is by an agent of another user, ${certificate.user.short()}`,
      )
    }
    if (recipient.kind !== 'direct' || !recipient.agent.equals(this.#trust.own.agent)) {
      throw new MeshError(
        'MESH_NOT_ADMITTED',
        `an envelope by ${sender.short()} is not addressed to this agent`,
      )
    }
    this.#nonces.admit(envelope.nonce)
    this.#sequences.admit(sender, envelope.sequence)
    return decodeBusMessage(envelope.payload)
  }
}
