/**
 * What the mesh tests share: the golden values, the keys in them, and agents made from them.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Agent, Certificate, KeyPair, type Metadata, UNRESTRICTED } from 'agent-store/mesh'
import { fromHex } from '../support.ts'

/** `vectors.json`: values computed apart from this code, and accepted by the Rust crates. */
export const VECTORS: Vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8'),
)

type KeyName = 'user' | 'agentA' | 'agentB' | 'delegateD' | 'otherUser'

interface Vectors {
  readonly keys: Readonly<
    Record<KeyName, Readonly<Record<'seed' | 'pub' | 'fingerprint' | 'short', string>>>
  >
  readonly certA: CertificateVector & { readonly cert_json: string }
  readonly certCaveats: CertificateVector
  readonly certDelegated: CertificateVector & { readonly cert_json: string }
  readonly envelope: EnvelopeVector & {
    readonly topic_wire: string
    readonly body_utf8: string
    readonly payload_len: number
    readonly envelope_json_len: number
    readonly envelope_json_blake3: string
    readonly envelope_json: string
  }
  readonly envelopeTopic: EnvelopeVector
  readonly envelopeAnycast: EnvelopeVector
  readonly busMessages: Readonly<Record<'request' | 'reply' | 'publish', string>>
  readonly frames: {
    readonly hello_len_prefix_hex: string
    readonly hello_len: number
    readonly hello_blake3: string
    readonly reject_hex: string
    readonly envelope_len_prefix_hex: string
  }
  readonly pem: string
  readonly possession: Readonly<Record<'nonce_hex' | 'signed_bytes_hex' | 'sig_by_D_hex', string>>
  readonly github: Readonly<Record<'signed_bytes_hex' | 'sig_by_otherUser_as_ssh_hex', string>>
}

interface CertificateVector {
  readonly metadata_json: string
  readonly signed_bytes_hex: string
  readonly issuer_sig_hex: string
}

interface EnvelopeVector {
  readonly recipient_json: string
  readonly nonce_hex: string
  readonly sequence: string
  readonly payload_utf8: string
  readonly payload_cid_hex: string
  readonly signed_bytes_hex: string
  readonly agent_sig_hex: string
}

const golden = (name: KeyName) => KeyPair.fromSeed(fromHex(VECTORS.keys[name].seed))

/** The golden keys. */
export const KEYS: Readonly<Record<KeyName, KeyPair>> = {
  user: golden('user'),
  agentA: golden('agentA'),
  agentB: golden('agentB'),
  delegateD: golden('delegateD'),
  otherUser: golden('otherUser'),
}

/** What the golden certificates have in common. */
export const METADATA: Metadata = {
  role: 'worker',
  host: 'host-a',
  capabilities: ['agent-store-doorbell'],
  issuedAt: '2026-01-02T03:04:05Z',
  expiresAt: null,
  caveats: UNRESTRICTED,
}

/** An agent of the golden user, or of another, with the metadata of the golden certificate. */
export function agentOf(key: KeyPair, user: KeyPair = KEYS.user): Agent {
  return new Agent(key, Certificate.issue(user, key.publicKey, METADATA))
}

/** Why iroh cannot be had here, or `false`. */
export const withoutIroh: string | false = (() => {
  try {
    createRequire(import.meta.url)('@number0/iroh/index.js')
    return false
  } catch {
    return '@number0/iroh is not installed, or has no binary for this machine'
  }
})()
