/**
 * Which words of a question are looked up, so that a search stays quick however long the log.
 *
 * A word that is in a large part of the entries costs the most and says the least. So words are
 * taken from the rarest on, as long as the entries that hold them are few; those that are left
 * out would have moved the order a little, and found nothing of worth by themselves. Where every
 * word is that common, entries with all of them are looked for.
 *
 * @module
 */
import type { AskedWord } from './words.ts'

/** Entries that are ranked for a question, unless each of its words alone has more. */
const MOST_POSTINGS = 6_000

/** What to look up. */
export interface Telling {
  readonly words: readonly AskedWord[]
  /** Whether an entry must have all of them. */
  readonly all: boolean
}

/**
 * @param count How many entries have all of some words, at most so many as are said.
 * @returns `undefined` where no entry has any.
 */
export function tellingWords(
  words: readonly AskedWord[],
  count: (words: readonly AskedWord[], most: number) => number,
): Telling | undefined {
  const known = words
    .map((word) => ({ word, entries: count([word], MOST_POSTINGS + 1) }))
    .filter(({ entries }) => entries > 0)
    .sort((a, b) => a.entries - b.entries)
  const [rarest] = known
  if (rarest === undefined) return undefined
  const taken: AskedWord[] = []
  let sum = 0
  for (const { word, entries } of known) {
    sum += entries
    if (sum > MOST_POSTINGS) break
    taken.push(word)
  }
  if (taken.length > 0) return { words: taken, all: false }
  const common = known.map(({ word }) => word)
  return count(common, 1) > 0 ? { words: common, all: true } : { words: [rarest.word], all: true }
}
