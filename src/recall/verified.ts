/**
 * Whether what an index has found is still what the log says.
 *
 * @module
 */
import { sameBytes } from '#shared'
import { type Backend, chainHash, type Entry, type Row } from '../index.ts'
import type { Ranked } from './fusion.ts'
import type { Found, Hit, StaleHit, StaleReason } from './question.ts'
import { placeOf } from './rows.ts'
import type { Candidate } from './tables.ts'

const AT_ONCE = 64

/** The first `k` of the candidates that the log still has, and what it has not among those before. */
export function verified(db: Backend, ranked: readonly Ranked[], k: number): Found {
  const hits: Hit[] = []
  const stale: StaleHit[] = []
  for (let at = 0; at < ranked.length && hits.length < k; at += k) {
    const some = ranked.slice(at, at + k)
    const looked = lookUp(db, some)
    for (const [i, candidate] of some.entries()) {
      const entry = looked[i]
      const { stream, writer, seq, contentHash } = candidate
      if (typeof entry !== 'object') {
        stale.push({ stream, writer, seq, contentHash, reason: entry ?? 'vanished' })
      } else if (hits.length < k) hits.push({ ...candidate, entry })
    }
  }
  return { hits, stale }
}

/** The log's own entries, or what is wrong with them, in the order of the candidates. */
function lookUp(db: Backend, candidates: readonly Candidate[]): (Entry | StaleReason)[] {
  const found: (Entry | StaleReason)[] = []
  for (let at = 0; at < candidates.length; at += AT_ONCE) {
    const some = candidates.slice(at, at + AT_ONCE)
    const rows = db.query(
      `SELECT stream, writer, seq, prev_hash, content_hash, payload FROM _agent_store_log
        WHERE (stream, writer, seq) IN (VALUES ${some.map(() => '(?, ?, ?)').join(', ')})`,
      some.flatMap(({ stream, writer, seq }) => [stream, writer, seq]),
    )
    const byPlace = new Map(
      rows.map((row) => [
        placeOf({ stream: String(row[0]), writer: String(row[1]), seq: BigInt(String(row[2])) }),
        row,
      ]),
    )
    for (const candidate of some) {
      found.push(checked(candidate, byPlace.get(placeOf(candidate))))
    }
  }
  return found
}

function checked(candidate: Candidate, row: Row | undefined): Entry | StaleReason {
  if (row === undefined) return 'vanished'
  const { stream, writer, seq } = candidate
  const [, , , prevHash = null, contentHash, payload] = row
  if (
    !(contentHash instanceof Uint8Array && payload instanceof Uint8Array) ||
    !(prevHash === null || prevHash instanceof Uint8Array) ||
    (prevHash === null) !== (seq === 1n)
  ) {
    return 'broken'
  }
  if (!sameBytes(contentHash, candidate.contentHash)) return 'changed'
  if (!sameBytes(chainHash(prevHash, payload), contentHash)) return 'broken'
  return { stream, writer, seq, prevHash, contentHash, payload }
}
