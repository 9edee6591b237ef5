/**
 * SASLprep (RFC 4013): one form for a password that can be typed in several.
 *
 * The three steps that change a password are here: other spaces become a space, characters that
 * RFC 3454 maps to nothing are removed, and the rest is normalized to NFKC. PostgreSQL also takes a
 * password as it is when it holds a prohibited character, one that Unicode 3.2 does not know, or
 * letters of both directions. Of those, emoji are recognised. Any other such password is prepared
 * here and not by the server, which then refuses it if one of the three steps changed it: a control
 * or private character beside a compatibility form, for one.
 *
 * @module
 */

const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g
const NOTHING =
  /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g
/** Emoji that Unicode 3.2 does not know: blocks of their own, and those among older symbols. */
const EMOJI =
  /[\u{1f000}-\u{1fbff}\u23cf\u23e9-\u23f3\u23f8-\u23fa\u2614\u2615\u2618\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55]/u

/** Returns the prepared password, or the same one where it cannot be prepared. */
export function saslprep(password: string): string {
  if (EMOJI.test(password)) return password
  const prepared = password.replace(SPACES, ' ').replace(NOTHING, '').normalize('NFKC')
  return prepared === '' ? password : prepared
}
