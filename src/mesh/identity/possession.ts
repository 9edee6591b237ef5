/**
 * Proof that somebody holds the key that it wants certified: it signs a challenge that names
 * both keys, so that the proof serves no other issuer.
 *
 * @module
 */

import { randomBytes } from 'node:crypto'
import { checkBytes, sameBytes } from '#shared'
import { MeshError } from '../errors.ts'
import { concat, utf8 } from '../json/canonical-json.ts'
import { isStrictSignature, type KeyPair } from './keys.ts'

const TAG = utf8('agent-mesh/possession-challenge/v1')

/** What the holder of `subject` is to sign for `issuer`. Public keys of 32 bytes; 32 random bytes. */
export interface PossessionChallenge {
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly nonce: Uint8Array
}

/** A new challenge. @throws TypeError, RangeError. */
export function possessionChallenge(issuer: Uint8Array, subject: Uint8Array): PossessionChallenge {
  checkBytes('issuer', issuer, 32)
  checkBytes('subject', subject, 32)
  return { issuer, subject, nonce: new Uint8Array(randomBytes(32)) }
}

/** The answer to a challenge: 64 bytes. @throws TypeError, RangeError. */
export function provePossession(key: KeyPair, challenge: PossessionChallenge): Uint8Array {
  return key.sign(challengeBytes(challenge))
}

/**
 * @throws MeshError MESH_INVALID_CERT_CHAIN when the challenge is another issuer's.
 * @throws MeshError MESH_BAD_SIGNATURE when the subject did not sign it.
 * @internal
 */
export function checkProof(
  issuer: Uint8Array,
  challenge: PossessionChallenge,
  proof: Uint8Array,
): void {
  if (!sameBytes(issuer, challenge.issuer)) {
    throw new MeshError('MESH_INVALID_CERT_CHAIN', 'the challenge was made by another issuer')
  }
  if (!isStrictSignature(challenge.subject, challengeBytes(challenge), proof)) {
    throw new MeshError(
      'MESH_BAD_SIGNATURE',
      'the challenge is not signed by the key that is to be certified',
    )
  }
}

function challengeBytes({ issuer, subject, nonce }: PossessionChallenge): Uint8Array {
  checkBytes('issuer', issuer, 32)
  checkBytes('subject', subject, 32)
  checkBytes('nonce', nonce, 32)
  return concat(TAG, issuer, subject, nonce)
}
