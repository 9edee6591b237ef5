/**
 * One search: the candidates of words and of a vector, in one order, as far down as it takes for
 * as many as are wanted to be what the log still has.
 *
 * @module
 */
import type { Backend } from '../index.ts'
import { fuse } from './fusion.ts'
import type { Found } from './question.ts'
import type { Selected } from './selection.ts'
import type { Candidate, IndexTables } from './tables.ts'
import { verified } from './verified.ts'
import type { AskedWord } from './words.ts'

/** So many more are looked at than are wanted, since some may be stale. */
const SPARE = 5
const DEEPER = 4

/** What is looked for. */
export interface Asked {
  /** Undefined where no text was given; empty where that has no words. */
  readonly words: readonly AskedWord[] | undefined
  readonly vector: Float32Array | undefined
  readonly selected: Selected
  /** How many are wanted. */
  readonly k: number
  /** Whether what is read is committed. */
  readonly isLasting: boolean
}

/** Find what the log has. Call it in a snapshot. */
export function search(db: Backend, tables: IndexTables, asked: Asked): Found {
  const { words, vector, k } = asked
  // Two lists are fused well only where they reach further than what is wanted of them.
  let depth = words === undefined || vector === undefined ? k + SPARE : DEEPER * (k + SPARE)
  for (;;) {
    const byText = words === undefined ? undefined : byWords(tables, words, asked.selected, depth)
    const byVector =
      vector === undefined
        ? undefined
        : tables.byVector(vector, asked.selected, depth, asked.isLasting)
    const found = verified(db, fuse(byText, byVector), k)
    const mayHaveMore = byText?.length === depth || byVector?.length === depth
    if (found.hits.length === k || !mayHaveMore) return found
    depth *= DEEPER // Too many of them were stale.
  }
}

function byWords(
  tables: IndexTables,
  words: readonly AskedWord[],
  selected: Selected,
  depth: number,
): Candidate[] {
  return words.length === 0 ? [] : tables.byWords(words, selected, depth)
}
