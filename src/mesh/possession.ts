/**
 * Proof that somebody holds the key that it wants certified: it signs a challenge that names
 * both keys, so that the proof serves no other issuer.
 *
 * @module
 */
import { randomBytes } from 'node:crypto'
import { concat, utf8 } from './canonical-json.ts'
import { checkLength, isStrictSignature, type KeyPair } from './ed25519.ts'
import { BadSignatureError, InvalidCertChainError } from './errors.ts'

const TAG = utf8('agent-mesh/possession-challenge/v1')

/** What the holder of `subject` is to sign for `issuer`. Public keys of 32 bytes; 32 random bytes. */
export interface PossessionChallenge {
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly nonce: Uint8Array
}

/** A new challenge. @throws TypeError, RangeError. */
export function possessionChallenge(issuer: Uint8Array, subject: Uint8Array): PossessionChallenge {
  checkLength('issuer', issuer, 32)
  checkLength('subject', subject, 32)
  return { issuer, subject, nonce: new Uint8Array(randomBytes(32)) }
}

/** The answer to a challenge: 64 bytes. @throws TypeError, RangeError. */
export function provePossession(key: KeyPair, challenge: PossessionChallenge): Uint8Array {
  return key.sign(challengeBytes(challenge))
}

/**
 * @throws InvalidCertChainError when the challenge is another issuer's.
 * @throws BadSignatureError when the subject did not sign it.
 * @internal
 */
export function checkProof(
  issuer: Uint8Array,
  challenge: PossessionChallenge,
  proof: Uint8Array,
): void {
  if (Buffer.compare(issuer, challenge.issuer) !== 0) {
    throw new InvalidCertChainError('the challenge was made by another issuer')
  }
  if (!isStrictSignature(challenge.subject, challengeBytes(challenge), proof)) {
    throw new BadSignatureError('the challenge is not signed by the key that is to be certified')
  }
}

function challengeBytes({ issuer, subject, nonce }: PossessionChallenge): Uint8Array {
  checkLength('issuer', issuer, 32)
  checkLength('subject', subject, 32)
  checkLength('nonce', nonce, 32)
  return concat(TAG, issuer, subject, nonce)
}
