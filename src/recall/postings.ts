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

/** What to look up. */
export interface Telling {
  readonly words: readonly AskedWord[]
  /** How many entries have each of them. */
  readonly entries: readonly number[]
  /** Whether an entry must have all of them. */
  readonly all: boolean
}

/** Groups of words, and for each how many entries have all of its words, up to `most`. */
export type Count = (groups: readonly (readonly AskedWord[])[], most: number) => readonly number[]

/**
 * @param most Entries that are ranked, unless each of the words alone has more.
 * @returns `undefined` where no entry has any of the words.
 */
export function tellingWords(
  words: readonly AskedWord[],
  most: number,
  count: Count,
): Telling | undefined {
  const counts = count(
    words.map((word) => [word]),
    most + 1,
  )
  const known = words
    .map((word, i) => ({ word, entries: counts[i] ?? 0 }))
    .filter(({ entries }) => entries > 0)
    .sort((a, b) => a.entries - b.entries)
  const [rarest] = known
  if (rarest === undefined) return undefined
  let sum = 0
  const taken = known.filter(({ entries }) => {
    sum += entries
    return sum <= most
  })
  if (taken.length > 0) return tellingOf(taken, false)
  const [together = 0] = count([known.map(({ word }) => word)], 1)
  return tellingOf(together > 0 ? known : [rarest], true)
}

function tellingOf(
  known: readonly { readonly word: AskedWord; readonly entries: number }[],
  all: boolean,
): Telling {
  return { words: known.map(({ word }) => word), entries: known.map(({ entries }) => entries), all }
}
