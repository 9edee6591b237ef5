/**
 * What is asked of an index, and what it answers.
 *
 * @module
 */
import type { Entry } from '../index.ts'
import type { Ranked } from './fusion.ts'
import type { RecallSelection } from './selection.ts'
import type { VectorDefinition } from './tables.ts'
import type { VectorLike } from './vectors.ts'

/** How an index is used by this process. */
export interface RecallOptions {
  /**
   * The text of a payload; `undefined` for an entry that says nothing, which is then passed over.
   * It must say the same whenever it is asked. Default: `textOf` of this package.
   */
  readonly textOf?: ((payload: Uint8Array) => string | undefined) | undefined
  /** On SQLite, memory for what is known of the vectors, in bytes. Default: 512 MiB. */
  readonly cacheBytes?: number | undefined
}

/** What is asked. Words, a vector, or both, of which then both ranks count. */
export interface Question extends RecallSelection {
  /** Words to be found, in any language; `deploy*` is any word that begins like that. */
  readonly text?: string | undefined
  /** A vector by the index's model. */
  readonly vector?: VectorLike | undefined
  /** The model that made the vector, to be compared with that of the index. */
  readonly model?: string | undefined
  /** How many hits at most, from 1 to 1,000. Default: 10. */
  readonly k?: number | undefined
}

/** An entry that was found, and that the log has as it was indexed. */
export interface Hit extends Omit<Ranked, 'seq'> {
  readonly seq: bigint
  /** The entry, from the log. */
  readonly entry: Entry
}

/** What became of an entry that was indexed. */
export type StaleReason =
  /** The log has no such entry any more. */
  | 'vanished'
  /** Another entry stands in its place. */
  | 'changed'
  /** Its payload does not give its hash, or its row is not one of a log. */
  | 'broken'

/** An indexed entry whose log says something else. */
export interface StaleHit {
  readonly stream: string
  readonly writer: string
  readonly seq: bigint
  /** What was indexed. */
  readonly contentHash: Uint8Array
  readonly reason: StaleReason
}

/** What was found. */
export interface Found {
  /** The best first. */
  readonly hits: readonly Hit[]
  /** What the index knows and the log does not, as far as it came up; rebuild the index. */
  readonly stale: readonly StaleHit[]
}

/** How an index stands. */
export interface IndexStatus {
  readonly name: string
  readonly vectors: VectorDefinition | undefined
  /** Entries that can be found. */
  readonly entries: bigint
  /** Those of them that have a vector. */
  readonly withVector: bigint
  /** Logs of which it has the beginning. */
  readonly logs: number
  /** Entries of the log that it has not come to yet. */
  readonly behind: bigint
}
