/**
 * Which words of a question are looked up, so that a search stays quick however long the log.
 *
 * A word that is in a large part of the entries costs the most and says the least. So words are
 * taken from the rarest on, as long as the entries that hold them are few; those that are left
 * out would have moved the order a little. Where every word is that common, entries with all of
 * them are looked for. Where that finds too little, as it may among few entries, the common words
 * are looked for as well.
 *
 * @module
 */
import type { AskedWord } from './words.ts'

/** A word of a question, and how many entries have it. */
export interface CountedWord {
  readonly word: AskedWord
  readonly entries: number
}

/** What to look up, the rarest first. */
export interface Telling {
  /** An entry should have any of these. */
  readonly rare: readonly CountedWord[]
  /** Where there are no others, an entry should have all of these. */
  readonly common: readonly CountedWord[]
}

/**
 * @param counted The words of a question; each counted up to one more than `most` at least.
 * @param most Entries that are ranked, unless each of the words alone has more.
 */
export function tellingWords(counted: readonly CountedWord[], most: number): Telling {
  const known = counted.filter(({ entries }) => entries > 0).sort((a, b) => a.entries - b.entries)
  let sum = 0
  const first = known.findIndex(({ entries }) => {
    sum += entries
    return sum > most
  })
  const end = first < 0 ? known.length : first
  return { rare: known.slice(0, end), common: known.slice(end) }
}

/**
 * The common words of which an entry should have one, where too few were found otherwise. Among
 * all entries the rarest of them finds enough.
 */
export function wordsInReserve({ rare, common }: Telling, isAll: boolean): readonly CountedWord[] {
  const isLookedFor = rare.length === 0 && common.length === 1
  return isLookedFor ? [] : common.slice(0, isAll ? 1 : undefined)
}
