/**
 * One order out of two: reciprocal rank fusion. A candidate gets `1 / (60 + rank)` from each
 * list that has it, so that no score of one kind has to be weighed against one of another.
 *
 * Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and
 * individual rank learning methods", SIGIR 2009, where the 60 comes from.
 *
 * @module
 */
import { byScore, placeOf } from './rows.ts'
import type { Candidate } from './tables.ts'

const DAMPING = 60

/** Where a candidate stood in each list. Ranks count from 1. */
export interface Ranked extends Candidate {
  readonly textRank: number | undefined
  readonly textScore: number | undefined
  readonly vectorRank: number | undefined
  readonly vectorScore: number | undefined
}

/** The candidates of both lists, best first. With one list alone, its own scores stay. */
export function fuse(
  byText: readonly Candidate[] | undefined,
  byVector: readonly Candidate[] | undefined,
): Ranked[] {
  const isFused = byText !== undefined && byVector !== undefined
  const ranked = new Map<string, Ranked>()
  byText?.forEach((candidate, i) => {
    ranked.set(placeOf(candidate), {
      ...candidate,
      score: isFused ? 1 / (DAMPING + i + 1) : candidate.score,
      textRank: i + 1,
      textScore: candidate.score,
      vectorRank: undefined,
      vectorScore: undefined,
    })
  })
  byVector?.forEach((candidate, i) => {
    const other = ranked.get(placeOf(candidate))
    ranked.set(placeOf(candidate), {
      ...candidate,
      score: isFused ? (other?.score ?? 0) + 1 / (DAMPING + i + 1) : candidate.score,
      textRank: other?.textRank,
      textScore: other?.textScore,
      vectorRank: i + 1,
      vectorScore: candidate.score,
    })
  })
  return [...ranked.values()].sort(byScore)
}
