/**
 * Rows of a search, as candidates.
 *
 * @module
 */
import { MalformedRowError, type Row } from '../index.ts'
import type { Candidate } from './tables.ts'

/** The columns of a candidate, before its score. */
export const ENTRY_COLUMNS = 'l.stream, l.writer, e.seq, e.content_hash'

/** @throws MalformedRowError. */
export function toCandidate([stream, writer, seq, contentHash, score]: Row): Candidate {
  if (
    typeof stream === 'string' &&
    typeof writer === 'string' &&
    typeof seq === 'bigint' &&
    contentHash instanceof Uint8Array &&
    typeof score === 'number'
  ) {
    return { stream, writer, seq, contentHash, score }
  }
  throw new MalformedRowError('a row of the index is not one that it has written; rebuild it')
}

/** Best first; ties in the order of names and seqs, which a rebuilt index has as well. */
export function byScore(a: Candidate, b: Candidate): number {
  if (a.score !== b.score) return b.score - a.score
  if (a.stream !== b.stream) return a.stream < b.stream ? -1 : 1
  if (a.writer !== b.writer) return a.writer < b.writer ? -1 : 1
  return a.seq < b.seq ? -1 : a.seq > b.seq ? 1 : 0
}
