/**
 * A question as FTS5 reads it. Nothing needs escaping: `words.ts` makes words of letters and
 * digits alone, and in quotes none of them is an operator.
 *
 * @module
 */
import type { AskedWord } from '../words.ts'

/** Returns a MATCH expression in which `operator` (` OR `, ` AND `) stands between the words. */
export function matchOf(words: readonly AskedWord[], operator: string): string {
  return words.map(({ word, isPrefix }) => `"${word}"${isPrefix ? ' *' : ''}`).join(operator)
}
