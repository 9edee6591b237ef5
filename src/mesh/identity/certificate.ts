/**
 * Certificates: a user's key vouches for an agent's key, and that agent may vouch for others,
 * granting no more than it has. A chain ends in exactly one user; two agents are of one team
 * when that user is the same.
 *
 * @module
 */
import { checkBytes, sameBytes } from '#shared'
import { Fingerprint } from '../../index.ts'
import { MeshError } from '../errors.ts'
import { concat, jsonBytes, jsonString, utf8 } from '../json/canonical-json.ts'
import { JsonReader } from '../json/strict-json.ts'
import { type Caveats, caveatsToJson, isWithin, readCaveats, UNRESTRICTED } from './caveats.ts'
import { isSignature, isStrictSignature, type KeyPair } from './keys.ts'

/** The most certificates in one chain. A handshake has room for about twenty. */
export const MAX_CHAIN_DEPTH = 32

/** What a certificate says of its agent. */
export interface Metadata {
  /** Free text, as is `host`. */
  readonly role: string
  readonly host: string
  /** What the agent offers. The order is kept; no comma where it is announced by mDNS. */
  readonly capabilities: readonly string[]
  /** RFC 3339 in UTC. A claim that nothing is decided by, as is `expiresAt`. */
  readonly issuedAt: string
  readonly expiresAt: string | null
  readonly caveats: Caveats
}

type Issuer =
  | { readonly user: Uint8Array }
  | { readonly agent: Uint8Array; readonly parent: Certificate }

/** A certificate with all those above it. Immutable. What was read is to be verified before use. */
export class Certificate {
  readonly #agentKey: Uint8Array
  readonly #issuer: Issuer
  readonly #signature: Uint8Array
  readonly metadata: Metadata
  #json: string | undefined

  private constructor(
    agentKey: Uint8Array,
    metadata: Metadata,
    issuer: Issuer,
    signature: Uint8Array,
  ) {
    this.#agentKey = agentKey
    this.metadata = metadata
    this.#issuer = issuer
    this.#signature = signature
  }

  /** A certificate by the user. @throws TypeError, RangeError. */
  static issue(user: KeyPair, agentKey: Uint8Array, metadata: Metadata): Certificate {
    const signature = user.sign(signedBytes(agentKey, metadata))
    return new Certificate(agentKey.slice(), metadata, { user: user.publicKey }, signature)
  }

  /**
   * A certificate by an agent, which `key` and `parent` belong to.
   * @throws TypeError, RangeError.
   * @throws MeshError MESH_BAD_SIGNATURE when `parent` is that of another key.
   * @throws MeshError MESH_CAVEAT_AMPLIFICATION when it would grant more than `parent`.
   * @throws MeshError MESH_INVALID_CERT_CHAIN when the chain would be too deep.
   */
  static delegate(
    key: KeyPair,
    parent: Certificate,
    agentKey: Uint8Array,
    metadata: Metadata,
  ): Certificate {
    parent.checkHolder(key)
    const signature = key.sign(signedBytes(agentKey, metadata))
    const issuer = { agent: key.publicKey, parent }
    const made = new Certificate(agentKey.slice(), metadata, issuer, signature)
    made.#checkWithinParent(parent)
    if (made.depth > MAX_CHAIN_DEPTH) throw tooDeep()
    return made
  }

  /** Read JSON. @throws MeshError MESH_ENCODING, MESH_INVALID_CERT_CHAIN when it is too deep. */
  static fromJson(json: Uint8Array): Certificate {
    return JsonReader.parse(json, (reader) => Certificate.read(reader))
  }

  /** Read the certificate ahead. @internal */
  static read(reader: JsonReader, depth = 1): Certificate {
    if (depth > MAX_CHAIN_DEPTH) throw tooDeep()
    let agentKey: Uint8Array | undefined
    let metadata: Metadata | undefined
    let issuer: Issuer | undefined
    let signature: Uint8Array | undefined
    reader.object({
      agent_pubkey: () => (agentKey = reader.bytes(32)),
      metadata: () => (metadata = readMetadata(reader)),
      issuer: () => (issuer = readIssuer(reader, depth)),
      issuer_sig: () => (signature = reader.bytes(64)),
    })
    return new Certificate(
      reader.required(agentKey, 'agent_pubkey'),
      reader.required(metadata, 'metadata'),
      reader.required(issuer, 'issuer'),
      reader.required(signature, 'issuer_sig'),
    )
  }

  /** Canonical JSON. */
  toJson(): string {
    this.#json ??= this.#write()
    return this.#json
  }

  #write(): string {
    const issuer =
      'user' in this.#issuer
        ? `{"User":{"verifying":${jsonBytes(this.#issuer.user)}}}`
        : `{"Agent":{"pubkey":${jsonBytes(this.#issuer.agent)},"parent":${this.#issuer.parent.toJson()}}}`
    return (
      `{"agent_pubkey":${jsonBytes(this.#agentKey)}` +
      `,"metadata":${metadataToJson(this.metadata)}` +
      `,"issuer":${issuer}` +
      `,"issuer_sig":${jsonBytes(this.#signature)}}`
    )
  }

  /**
   * Check every link, from this certificate up to the user's.
   * @param generation the current generation, for certificates that are limited to some; on the
   *   bus there is none, so that such a certificate is always refused.
   * @throws MeshError MESH_CERTIFICATE_GENERATION, MESH_BAD_SIGNATURE, MESH_INVALID_CERT_CHAIN,
   *   MESH_CAVEAT_AMPLIFICATION.
   */
  verify(generation?: bigint): void {
    const scope = this.metadata.caveats.validForGeneration
    if (scope !== 'all' && (generation === undefined || !scope.only.includes(generation))) {
      throw new MeshError(
        'MESH_CERTIFICATE_GENERATION',
        generation === undefined
          ? 'the certificate is limited to generations, and there is no current one here'
          : `the certificate is not valid in generation ${generation}`,
      )
    }
    const issuer = this.#issuer
    const message = signedBytes(this.#agentKey, this.metadata)
    if ('user' in issuer) {
      if (!isSignature(issuer.user, message, this.#signature)) throw badLink(this)
      return
    }
    if (!sameBytes(issuer.agent, issuer.parent.#agentKey)) {
      throw new MeshError(
        'MESH_INVALID_CERT_CHAIN',
        'the issuer of a certificate is not the agent above it',
      )
    }
    issuer.parent.verify(generation)
    if (!isStrictSignature(issuer.agent, message, this.#signature)) throw badLink(this)
    this.#checkWithinParent(issuer.parent)
  }

  /** A copy of the 32 bytes of the agent's public key. */
  get agentKey(): Uint8Array {
    return this.#agentKey.slice()
  }

  /** Whom the certificate is for. */
  get agent(): Fingerprint {
    return Fingerprint.fromEd25519Pubkey(this.#agentKey)
  }

  /** The user at the root of the chain. */
  get user(): Fingerprint {
    const issuer = this.#issuer
    return 'user' in issuer ? Fingerprint.fromEd25519Pubkey(issuer.user) : issuer.parent.user
  }

  /** How many certificates the chain has: 1 for one by the user. */
  get depth(): number {
    return 'user' in this.#issuer ? 1 : 1 + this.#issuer.parent.depth
  }

  /** @throws MeshError MESH_BAD_SIGNATURE unless `key` is the agent's. @internal */
  checkHolder(key: KeyPair): void {
    if (!sameBytes(key.publicKey, this.#agentKey)) {
      throw new MeshError(
        'MESH_BAD_SIGNATURE',
        `the certificate is for ${this.agent.short()}, the key is that of ${key.fingerprint.short()}`,
      )
    }
  }

  #checkWithinParent(parent: Certificate): void {
    if (!isWithin(this.metadata.caveats, parent.metadata.caveats)) {
      throw new MeshError(
        'MESH_CAVEAT_AMPLIFICATION',
        `the certificate of ${this.agent.short()} grants more than its parent, ${parent.agent.short()}, has`,
      )
    }
  }
}

function signedBytes(agentKey: Uint8Array, metadata: Metadata): Uint8Array {
  checkBytes('agentKey', agentKey, 32)
  return concat(agentKey, utf8(metadataToJson(metadata)))
}

function metadataToJson(metadata: Metadata): string {
  const capabilities = metadata.capabilities.map((one) => jsonString('capabilities', one))
  const { expiresAt } = metadata
  return (
    `{"role":${jsonString('role', metadata.role)}` +
    `,"host":${jsonString('host', metadata.host)}` +
    `,"capabilities":[${capabilities.join(',')}]` +
    `,"issued_at":${jsonString('issuedAt', metadata.issuedAt)}` +
    `,"expires_at":${expiresAt === null ? 'null' : jsonString('expiresAt', expiresAt)}` +
    `,"caveats":${caveatsToJson(metadata.caveats)}}`
  )
}

function readMetadata(reader: JsonReader): Metadata {
  let role: string | undefined
  let host: string | undefined
  let capabilities: string[] | undefined
  let issuedAt: string | undefined
  let expiresAt: string | null = null
  let caveats = UNRESTRICTED
  reader.object({
    role: () => (role = reader.string()),
    host: () => (host = reader.string()),
    capabilities: () => {
      const found: string[] = []
      reader.array(() => found.push(reader.string()))
      capabilities = found
    },
    issued_at: () => (issuedAt = reader.string()),
    expires_at: () => (expiresAt = reader.takeNull() ? null : reader.string()),
    caveats: () => (caveats = readCaveats(reader)),
  })
  return {
    role: reader.required(role, 'role'),
    host: reader.required(host, 'host'),
    capabilities: reader.required(capabilities, 'capabilities'),
    issuedAt: reader.required(issuedAt, 'issued_at'),
    expiresAt,
    caveats,
  }
}

function readIssuer(reader: JsonReader, depth: number): Issuer {
  return reader.variant<Issuer>({
    User: () => {
      let user: Uint8Array | undefined
      reader.object({ verifying: () => (user = reader.bytes(32)) })
      return { user: reader.required(user, 'verifying') }
    },
    Agent: () => {
      let agent: Uint8Array | undefined
      let parent: Certificate | undefined
      reader.object({
        pubkey: () => (agent = reader.bytes(32)),
        parent: () => (parent = Certificate.read(reader, depth + 1)),
      })
      return {
        agent: reader.required(agent, 'pubkey'),
        parent: reader.required(parent, 'parent'),
      }
    },
  })
}

function badLink(certificate: Certificate): MeshError {
  return new MeshError(
    'MESH_BAD_SIGNATURE',
    `the certificate of ${certificate.agent.short()} is not signed by its issuer`,
  )
}

function tooDeep(): MeshError {
  return new MeshError(
    'MESH_INVALID_CERT_CHAIN',
    `a chain of more than ${MAX_CHAIN_DEPTH} certificates`,
  )
}
