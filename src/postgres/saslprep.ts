/**
 * SASLprep (RFC 4013): one form for a password that can be typed in several.
 *
 * It follows PostgreSQL to the letter, on both sides of the wire: what cannot be prepared is
 * taken as it is, and what is prohibited is looked for before the normalization.
 *
 * @module
 */
import { isForbidden, isLeftToRight, isRightToLeft } from './stringprep-tables.ts'

const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g
const NOTHING =
  /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g

/** The prepared password, or the same one where it cannot be prepared. */
export function saslprep(password: string): string {
  if (/^[\0-\x7f]*$/.test(password)) return password
  const mapped = password.replace(SPACES, ' ').replace(NOTHING, '')
  const codePoints = Array.from(mapped, (character) => character.codePointAt(0) ?? 0)
  const isPrepared =
    codePoints.length > 0 && !codePoints.some(isForbidden) && isOneDirection(codePoints)
  return isPrepared ? mapped.normalize('NFKC') : password
}

/** RFC 3454, section 6: right to left from end to end, or not at all. */
function isOneDirection(codePoints: readonly number[]): boolean {
  if (!codePoints.some(isRightToLeft)) return true
  return (
    !codePoints.some(isLeftToRight) &&
    codePoints.findIndex(isRightToLeft) === 0 &&
    codePoints.findLastIndex(isRightToLeft) === codePoints.length - 1
  )
}
