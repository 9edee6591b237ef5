/**
 * Writer identity: BLAKE3-256 of a raw ed25519 public key.
 *
 * The same derivation as agent-mesh's fingerprint, so the 64 hex digits in the `writer`
 * column are the ones that the writer's mesh identity announces.
 *
 * @module
 */
import { checkBytes, typeName } from '../contract/arguments.ts'
import { quote } from '../contract/errors.ts'
import { blake3 } from '../hash/chain.ts'
import { sameBytes } from '../shared/bytes.ts'

/** An ed25519 public key as `node:crypto` holds it, by shape. */
export interface Ed25519KeyObject {
  readonly asymmetricKeyType?: string | undefined
  export(options: { format: 'jwk' }): { readonly x?: string | undefined }
}

/** A 32-byte writer identity. Immutable. */
export class Fingerprint {
  readonly #bytes: Uint8Array

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Wrap 32 bytes that already are a fingerprint. @throws TypeError, RangeError. */
  static fromBytes(bytes: Uint8Array): Fingerprint {
    checkBytes('bytes', bytes, 32)
    return new Fingerprint(new Uint8Array(bytes))
  }

  /**
   * Derive from an ed25519 public key: its 32 raw bytes, or a `KeyObject` of `node:crypto`
   * (of a private key, the public half is taken).
   * @throws TypeError, RangeError when it is anything else.
   *
   * @example
   * ```ts
   * import { generateKeyPairSync } from 'node:crypto'
   * const { publicKey } = generateKeyPairSync('ed25519')
   * const writer = Fingerprint.fromEd25519Pubkey(publicKey).toHex()
   * ```
   */
  static fromEd25519Pubkey(pubkey: Uint8Array | Ed25519KeyObject): Fingerprint {
    const raw = pubkey instanceof Uint8Array ? pubkey : rawKey(pubkey)
    checkBytes('pubkey', raw, 32)
    return new Fingerprint(blake3(raw))
  }

  /** Parse 64 hex digits, of either case. @throws TypeError, RangeError. */
  static fromHex(hex: string): Fingerprint {
    if (typeof hex !== 'string') {
      throw new TypeError(`hex must be a string, got ${typeName(hex)}`)
    }
    if (!/^[0-9a-f]{64}$/i.test(hex)) {
      throw new RangeError(`hex must be 64 hexadecimal digits, got ${quote(hex)}`)
    }
    return new Fingerprint(new Uint8Array(Buffer.from(hex, 'hex')))
  }

  /** A copy of the 32 bytes. */
  asBytes(): Uint8Array {
    return this.#bytes.slice()
  }

  /** 64 lower-case hex digits: the canonical form, used as `writer` in a `WriterLog`. */
  toHex(): string {
    return Buffer.from(this.#bytes).toString('hex')
  }

  /** The first 12 hex digits, for display. */
  short(): string {
    return this.toHex().slice(0, 12)
  }

  /** Whether `other` is the same identity. */
  equals(other: Fingerprint): boolean {
    return sameBytes(this.#bytes, other.#bytes)
  }

  toString(): string {
    return this.toHex()
  }

  toJSON(): string {
    return this.toHex()
  }
}

// Node's inspect looks for this registered symbol; no import, so that bundles stay small.
Object.defineProperty(Fingerprint.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: Fingerprint): string {
    return `Fingerprint(${this.toHex()})`
  },
})

function rawKey(key: Ed25519KeyObject): Uint8Array {
  if (key?.asymmetricKeyType !== 'ed25519') {
    throw new TypeError('pubkey must be 32 bytes or an ed25519 KeyObject')
  }
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'))
}
