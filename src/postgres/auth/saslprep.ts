/**
 * SASLprep (RFC 4013): one form for a password that can be typed in several.
 *
 * The three steps that change a password are here: other spaces become a space, what is commonly
 * mapped to nothing goes, and the rest is normalized to NFKC. PostgreSQL also takes a password as
 * it is when it holds a prohibited character, or one that Unicode 3.2 does not know. Of those,
 * emoji are recognised. Any other such password is prepared here and not by the server, which then
 * refuses it if one of the three steps changed it: a control or private character beside a
 * compatibility form, for one.
 *
 * @module
 */

const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g
const NOTHING =
  /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g
/** Unicode 3.2 knows none of these blocks. */
const EMOJI = /[\u{1f000}-\u{1fbff}]/u

/** Returns the prepared password, or the same one where it cannot be prepared. */
export function saslprep(password: string): string {
  if (EMOJI.test(password)) return password
  const prepared = password.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC')
  return prepared === '' ? password : prepared
}
