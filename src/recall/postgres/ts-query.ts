/**
 * A question as `to_tsquery` reads it. Nothing needs escaping: `words.ts` makes words of letters
 * and digits alone.
 *
 * @module
 */
import type { AskedWord } from '../words.ts'

/** Returns a tsquery in which `operator` (` | `, ` & `) stands between the words. */
export function toTsquery(words: readonly AskedWord[], operator: string): string {
  return words.map(({ word, isPrefix }) => `'${word}'${isPrefix ? ':*' : ''}`).join(operator)
}
