/**
 * An agent: a key of its own, and the certificate that makes it one of a user's team.
 *
 * The key is also the agent's address on the transport, so it must not be used by two running
 * processes. The usual life of one is that of its process.
 *
 * @module
 */
import { hostname } from 'node:os'
import type { Fingerprint } from '../../index.ts'
import { UNRESTRICTED } from './caveats.ts'
import { Certificate, type Metadata } from './certificate.ts'
import { KeyPair } from './keys.ts'
import { checkProof, type PossessionChallenge } from './possession.ts'

/** What to certify of an agent. */
export interface AgentOptions extends Partial<Metadata> {
  /** What the agent is there for, in a word. */
  readonly role: string
  /** Its key; a new one unless given. */
  readonly key?: KeyPair
}

/** A key and its certificate. */
export class Agent {
  readonly key: KeyPair
  readonly certificate: Certificate

  /** @throws MeshError MESH_BAD_SIGNATURE when the certificate is for another key. */
  constructor(key: KeyPair, certificate: Certificate) {
    certificate.checkHolder(key)
    this.key = key
    this.certificate = certificate
  }

  /**
   * An agent of the user. `host` is this machine's name, `issuedAt` now, and nothing is
   * restricted, unless told otherwise.
   * @throws TypeError, RangeError.
   *
   * @example
   * ```ts
   * const agent = Agent.issue(readKeyFile(defaultKeyPath()), { role: 'worker' })
   * ```
   */
  static issue(user: KeyPair, options: AgentOptions): Agent {
    const key = options.key ?? KeyPair.generate()
    return new Agent(key, Certificate.issue(user, key.publicKey, complete(options, UNRESTRICTED)))
  }

  /**
   * An agent below this one. Its caveats are this one's unless told otherwise.
   * @throws TypeError, RangeError.
   * @throws MeshError MESH_CAVEAT_AMPLIFICATION when it would have more than this one.
   * @throws MeshError MESH_INVALID_CERT_CHAIN when the chain would be too deep.
   */
  delegate(options: AgentOptions): Agent {
    const key = options.key ?? KeyPair.generate()
    return new Agent(key, this.#certify(key.publicKey, options))
  }

  /**
   * A certificate for a key that somebody else holds, and has proved to hold.
   * @throws as {@link Agent.delegate}; MESH_INVALID_CERT_CHAIN when the challenge is not this agent's,
   *   MESH_BAD_SIGNATURE when the proof does not fit.
   */
  certify(
    challenge: PossessionChallenge,
    proof: Uint8Array,
    options: Omit<AgentOptions, 'key'>,
  ): Certificate {
    checkProof(this.key.publicKey, challenge, proof)
    return this.#certify(challenge.subject, options)
  }

  /** BLAKE3 of the agent's public key. */
  get fingerprint(): Fingerprint {
    return this.key.fingerprint
  }

  /** The user whose agent this is. */
  get user(): Fingerprint {
    return this.certificate.user
  }

  #certify(publicKey: Uint8Array, options: AgentOptions): Certificate {
    const metadata = complete(options, this.certificate.metadata.caveats)
    return Certificate.delegate(this.key, this.certificate, publicKey, metadata)
  }
}

function complete(options: AgentOptions, caveats: Metadata['caveats']): Metadata {
  return {
    role: options.role,
    host: options.host ?? hostname(),
    capabilities: options.capabilities ?? [],
    issuedAt: options.issuedAt ?? new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    expiresAt: options.expiresAt ?? null,
    caveats: options.caveats ?? caveats,
  }
}
