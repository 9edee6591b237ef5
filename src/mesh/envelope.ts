/**
 * The signed envelope: one message from one agent, with the certificates that say whose agent
 * it is. That it verifies says nothing of whom it is for, or whether it is new.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { checkBytes, sameBytes } from '#shared'
import { blake3, Fingerprint } from '../index.ts'
import { MeshError } from './errors.ts'
import type { Agent } from './identity/agent.ts'
import { Certificate } from './identity/certificate.ts'
import { isSignature } from './identity/keys.ts'
import { checkUint64, concat, jsonBytes, jsonString, utf8 } from './json/canonical-json.ts'
import { JsonReader } from './json/strict-json.ts'

const TAG = utf8('agent-mesh-envelope-v1')

/** Whom an envelope is for. The bus knows the first kind alone. */
export type Recipient =
  | { readonly kind: 'direct'; readonly agent: Fingerprint }
  | { readonly kind: 'topic'; readonly name: string }
  | { readonly kind: 'anycast'; readonly capability: string }

/** What to put into an envelope. */
export interface EnvelopeContent {
  readonly recipient: Recipient
  /** Unsigned, 64 bits. */
  readonly sequence: bigint
  readonly payload: Uint8Array
  /** 24 bytes; random unless given. */
  readonly nonce?: Uint8Array
}

/** A message and its proof. What was read is to be verified before use. */
export class Envelope {
  readonly certificate: Certificate
  readonly recipient: Recipient
  /** 24 bytes. */
  readonly nonce: Uint8Array
  readonly sequence: bigint
  readonly payload: Uint8Array
  readonly #payloadHash: Uint8Array
  readonly #signature: Uint8Array

  private constructor(
    certificate: Certificate,
    content: Required<EnvelopeContent>,
    payloadHash: Uint8Array,
    signature: Uint8Array,
  ) {
    this.certificate = certificate
    this.recipient = content.recipient
    this.nonce = content.nonce
    this.sequence = content.sequence
    this.payload = content.payload
    this.#payloadHash = payloadHash
    this.#signature = signature
  }

  /** Sign a message. @throws TypeError, RangeError. */
  static seal(agent: Agent, content: EnvelopeContent): Envelope {
    const nonce = content.nonce ?? new Uint8Array(randomBytes(24))
    checkBytes('nonce', nonce, 24)
    checkUint64('sequence', content.sequence)
    const complete = { ...content, nonce }
    const payloadHash = blake3(content.payload)
    const signature = agent.key.sign(signedBytes(complete, payloadHash))
    return new Envelope(agent.certificate, complete, payloadHash, signature)
  }

  /** Read JSON. @throws MeshError MESH_ENCODING, MESH_INVALID_CERT_CHAIN when the chain is too deep. */
  static fromJson(json: Uint8Array): Envelope {
    return JsonReader.parse(json, (reader) => {
      let certificate: Certificate | undefined
      let recipient: Recipient | undefined
      let nonce: Uint8Array | undefined
      let sequence: bigint | undefined
      let payloadHash: Uint8Array | undefined
      let payload: Uint8Array | undefined
      let signature: Uint8Array | undefined
      reader.object({
        cert_chain: () => (certificate = Certificate.read(reader)),
        recipient: () => (recipient = readRecipient(reader)),
        nonce: () => (nonce = reader.bytes(24)),
        sequence: () => (sequence = reader.u64()),
        payload_cid: () => (payloadHash = reader.bytes(32)),
        payload: () => (payload = reader.blob()),
        agent_sig: () => (signature = reader.bytes(64)),
      })
      return new Envelope(
        reader.required(certificate, 'cert_chain'),
        {
          recipient: reader.required(recipient, 'recipient'),
          nonce: reader.required(nonce, 'nonce'),
          sequence: reader.required(sequence, 'sequence'),
          payload: reader.required(payload, 'payload'),
        },
        reader.required(payloadHash, 'payload_cid'),
        reader.required(signature, 'agent_sig'),
      )
    })
  }

  /** Canonical JSON, as it crosses the wire. */
  toJson(): Uint8Array {
    return utf8(
      `{"cert_chain":${this.certificate.toJson()}` +
        `,"recipient":${recipientToJson(this.recipient)}` +
        `,"nonce":${jsonBytes(this.nonce)}` +
        `,"sequence":${this.sequence}` +
        `,"payload_cid":${jsonBytes(this.#payloadHash)}` +
        `,"payload":${jsonBytes(this.payload)}` +
        `,"agent_sig":${jsonBytes(this.#signature)}}`,
    )
  }

  /**
   * Check the chain, the payload's hash and the agent's signature.
   * @param verifyChain checks the certificate, where that was done before and need not be again.
   * @throws as {@link Certificate.verify}; MESH_MALFORMED_ENVELOPE, MESH_BAD_SIGNATURE.
   */
  verify(verifyChain: (certificate: Certificate) => void = (one) => one.verify()): void {
    verifyChain(this.certificate)
    if (!sameBytes(blake3(this.payload), this.#payloadHash)) {
      throw new MeshError('MESH_MALFORMED_ENVELOPE', 'the payload is not the one that was signed')
    }
    const message = signedBytes(this, this.#payloadHash)
    if (!isSignature(this.certificate.agentKey, message, this.#signature)) {
      throw new MeshError(
        'MESH_BAD_SIGNATURE',
        `the envelope is not signed by ${this.certificate.agent.short()}, whose certificate it carries`,
      )
    }
  }
}

function signedBytes(
  content: Omit<Required<EnvelopeContent>, 'payload'>,
  payloadHash: Uint8Array,
): Uint8Array {
  const sequence = new Uint8Array(8)
  new DataView(sequence.buffer).setBigUint64(0, content.sequence)
  const recipient = utf8(recipientToJson(content.recipient))
  return concat(TAG, recipient, content.nonce, sequence, payloadHash)
}

function recipientToJson(recipient: Recipient): string {
  switch (recipient.kind) {
    case 'direct':
      return `{"kind":"direct","agent_fp":${jsonBytes(recipient.agent.asBytes())}}`
    case 'topic':
      return `{"kind":"topic","name":${jsonString('recipient.name', recipient.name)}}`
    case 'anycast':
      return `{"kind":"anycast","capability":${jsonString('recipient.capability', recipient.capability)}}`
  }
}

function readRecipient(reader: JsonReader): Recipient {
  const kind = reader.tag('kind')
  let text: string | undefined
  let agent: Fingerprint | undefined
  const read = () => (text = reader.string())
  switch (kind) {
    case 'direct':
      reader.object({ agent_fp: () => (agent = Fingerprint.fromBytes(reader.bytes(32))) })
      return { kind, agent: reader.required(agent, 'agent_fp') }
    case 'topic':
      reader.object({ name: read })
      return { kind, name: reader.required(text, 'name') }
    case 'anycast':
      reader.object({ capability: read })
      return { kind, capability: reader.required(text, 'capability') }
    default:
      return reader.fail('unknown kind of recipient')
  }
}
