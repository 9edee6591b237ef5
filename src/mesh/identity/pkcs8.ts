/**
 * PKCS#8 of an ed25519 key, read and written by hand: OpenSSL before 3.5 refuses version 2, which
 * the Rust peers write, and both versions have a fixed layout.
 *
 * @module
 */

import { MeshError } from '../errors.ts'
import { KeyPair } from './keys.ts'

const PREFIX_V1 = Buffer.from('302e020100300506032b657004220420', 'hex')
const PREFIX_V2 = Buffer.from('3051020101300506032b657004220420', 'hex')
const MIDDLE_V2 = Buffer.from('812100', 'hex')

/** PKCS#8 version 2 (RFC 5958): the seed and the public key, 83 bytes. */
export function toDer(key: KeyPair): Uint8Array {
  return new Uint8Array(Buffer.concat([PREFIX_V2, key.exportSeed(), MIDDLE_V2, key.publicKey]))
}

/**
 * Read PKCS#8, of version 2 (83 bytes) or 1 (48 bytes).
 * @throws MeshError MESH_INVALID_KEY
 */
export function fromDer(der: Uint8Array): KeyPair {
  const bytes = Buffer.from(der)
  const seed = new Uint8Array(bytes.subarray(16, 48))
  if (bytes.length === 48 && bytes.subarray(0, 16).equals(PREFIX_V1)) {
    return KeyPair.fromSeed(seed)
  }
  if (
    bytes.length !== 83 ||
    !bytes.subarray(0, 16).equals(PREFIX_V2) ||
    !bytes.subarray(48, 51).equals(MIDDLE_V2)
  ) {
    throw new MeshError('MESH_INVALID_KEY', 'not the PKCS#8 of an ed25519 key')
  }
  const key = KeyPair.fromSeed(seed)
  if (!bytes.subarray(51).equals(key.publicKey)) {
    throw new MeshError('MESH_INVALID_KEY', 'the public key in the file is not that of its seed')
  }
  return key
}
