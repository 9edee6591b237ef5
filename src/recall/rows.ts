/**
 * Rows of an index, in either dialect.
 *
 * @module
 */
import { type LogName, logKey } from '#shared'
import { type Backend, MalformedRowError, type Row } from '../index.ts'
import type { Candidate, StoredRow } from './tables.ts'

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

/** Names the entry of a candidate. No name of a log holds a NUL. */
export function placeOf(place: LogName & { readonly seq: bigint }): string {
  return `${logKey(place)}\0${place.seq}`
}

/** The best of both lists, each once: as the first one has it. */
export function bestOf(
  first: readonly Candidate[],
  second: readonly Candidate[],
  depth: number,
): Candidate[] {
  const known = new Set(first.map(placeOf))
  const others = second.filter((candidate) => !known.has(placeOf(candidate)))
  return [...first, ...others].sort(byScore).slice(0, depth)
}

/** The rows of one log, by seq, in the tables that begin with `name`. @throws MalformedRowError. */
export function storedRows(
  db: Backend,
  name: string,
  log: bigint,
  from: bigint,
  to: bigint,
): Map<bigint, StoredRow> {
  const rows = db.query(
    `SELECT seq, id, content_hash, has_vector FROM ${name}_entry
      WHERE log = ? AND seq >= ? AND seq <= ?`,
    [log, from, to],
  )
  return new Map(
    rows.map(([seq, id, contentHash, hasVector]) => {
      if (typeof seq === 'bigint' && typeof id === 'bigint' && contentHash instanceof Uint8Array) {
        return [seq, { id, contentHash, hasVector: hasVector === 1n }]
      }
      throw new MalformedRowError(`${name}_entry is damaged; rebuild the index`)
    }),
  )
}

/** How many entries there are, and how many of them have a vector. */
export function countRows(db: Backend, name: string): { entries: bigint; vectors: bigint } {
  const row = db.query(`SELECT count(*), coalesce(sum(has_vector), 0) FROM ${name}_entry`)[0]
  const [entries = 0, vectors = 0] = (row ?? []).map(Number)
  return { entries: BigInt(entries), vectors: BigInt(vectors) }
}
