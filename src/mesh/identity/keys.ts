/**
 * Ed25519 as the mesh uses it (RFC 8032, without prehash or context): keys from 32-byte seeds,
 * signatures that are the same each time, by `node:crypto`.
 *
 * @module
 */

import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { checkBytes } from '#shared'
import { Fingerprint } from '../../index.ts'

/** PKCS#8 version 1 of an ed25519 seed, up to the seed: the form that every OpenSSL reads. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
/** SubjectPublicKeyInfo (RFC 8410) of an ed25519 key, up to the key. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** An ed25519 key with its secret half. Immutable; printing it shows the fingerprint alone. */
export class KeyPair {
  readonly #seed: Uint8Array
  readonly #secret: KeyObject
  readonly #public: Uint8Array
  /** BLAKE3 of the public key. */
  readonly fingerprint: Fingerprint

  private constructor(seed: Uint8Array) {
    this.#seed = seed
    this.#secret = createPrivateKey({
      key: Buffer.concat([PKCS8_PREFIX, seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const spki = createPublicKey(this.#secret).export({ format: 'der', type: 'spki' })
    this.#public = new Uint8Array(spki.subarray(SPKI_PREFIX.length))
    this.fingerprint = Fingerprint.fromEd25519Pubkey(this.#public)
  }

  /** A new key from the system's randomness. */
  static generate(): KeyPair {
    return new KeyPair(new Uint8Array(randomBytes(32)))
  }

  /** The key of a 32-byte seed. @throws TypeError, RangeError. */
  static fromSeed(seed: Uint8Array): KeyPair {
    checkBytes('seed', seed, 32)
    return new KeyPair(new Uint8Array(seed))
  }

  /** A copy of the 32 bytes of the public key. */
  get publicKey(): Uint8Array {
    return this.#public.slice()
  }

  /** A copy of the secret 32 bytes, for a key file or a transport. */
  exportSeed(): Uint8Array {
    return this.#seed.slice()
  }

  /** The 64-byte signature of `message`. */
  sign(message: Uint8Array): Uint8Array {
    return new Uint8Array(sign(null, message, this.#secret))
  }

  toString(): string {
    return this.fingerprint.toHex()
  }

  toJSON(): string {
    return this.fingerprint.toHex()
  }
}

/** Whether `signature` is that of `message` by the holder of `publicKey`. */
export function isSignature(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const key = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, publicKey]),
      format: 'der',
      type: 'spki',
    })
    return verify(null, message, key, signature)
  } catch {
    return false
  }
}

const P = 2n ** 255n - 19n
/** The y of every point whose order divides the cofactor: 4, 1, 2, 8 and 8. */
const SMALL_ORDER: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  P - 1n,
  littleEndian(
    Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'),
  ),
  littleEndian(
    Buffer.from('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', 'hex'),
  ),
])

/**
 * As {@link isSignature}, and neither the key nor the signature's R may be a point of small
 * order, under which one signature fits many messages.
 */
export function isStrictSignature(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return (
    !isSmallOrder(publicKey) &&
    !isSmallOrder(signature.subarray(0, 32)) &&
    isSignature(publicKey, message, signature)
  )
}

/** Whether the 32 bytes stand for a point of small order, in whatever spelling. */
export function isSmallOrder(point: Uint8Array): boolean {
  const y = littleEndian(point) & (2n ** 255n - 1n)
  return SMALL_ORDER.has(y % P)
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}
