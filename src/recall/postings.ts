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

/** A word of a question, and how many entries have it. */
export interface CountedWord {
  readonly word: AskedWord
  readonly entries: number
}

/** What to look up. */
export interface Telling {
  /** The rarest first. */
  readonly words: readonly CountedWord[]
  /** Whether each of them is common, so that an entry should have all of them. */
  readonly areCommon: boolean
}

/**
 * @param counted The words of a question; each counted up to one more than `most` at least.
 * @param most Entries that are ranked, unless each of the words alone has more.
 * @returns `undefined` where no entry has any of the words.
 */
export function tellingWords(counted: readonly CountedWord[], most: number): Telling | undefined {
  const known = counted.filter(({ entries }) => entries > 0).sort((a, b) => a.entries - b.entries)
  if (known.length === 0) return undefined
  let sum = 0
  const words = known.filter(({ entries }) => {
    sum += entries
    return sum <= most
  })
  return words.length > 0 ? { words, areCommon: false } : { words: known, areCommon: true }
}
