/**
 * What an index is to its database: the tables of its own, and the two questions that they
 * answer. One implementation for each dialect.
 *
 * @module
 */

import type { Selected } from './selection.ts'
import type { Distance } from './vectors.ts'
import type { AskedWord } from './words.ts'

/** What is fixed when an index is created. */
export interface Definition {
  readonly name: string
  /** Names the tables. */
  readonly id: bigint
  /** Undefined for an index of words alone. */
  readonly vectors: VectorDefinition | undefined
}

/** The vectors that an index is for. */
export interface VectorDefinition {
  /** The model that makes them, by any name that the consumer gives it. */
  readonly model: string
  /** From 1 to 4,000. */
  readonly dimensions: number
  readonly distance: Distance
}

/** An indexed entry that a question has found. */
export interface Candidate {
  readonly stream: string
  readonly writer: string
  readonly seq: bigint
  readonly contentHash: Uint8Array
  /** The larger, the better. */
  readonly score: number
}

/** A row to be stored. */
export interface NewRow {
  readonly log: bigint
  readonly seq: bigint
  readonly contentHash: Uint8Array
  readonly words: readonly string[]
  readonly vector: Float32Array | null
}

/** A row that is there. */
export interface StoredRow {
  readonly id: bigint
  readonly contentHash: Uint8Array
  readonly hasVector: boolean
}

/** What a search has to do with its database. */
export interface IndexTables {
  /** The statements that lay them down. */
  create(): void
  drop(): void
  /** The rows of one log, by seq, from the one seq to the other. */
  stored(log: bigint, from: bigint, to: bigint): Map<bigint, StoredRow>
  remove(rows: readonly StoredRow[]): void
  insert(rows: readonly NewRow[]): void
  byWords(words: readonly AskedWord[], selected: Selected, depth: number): Candidate[]
  /** @param isLasting Whether what it reads is committed, so that it may be remembered. */
  byVector(vector: Float32Array, selected: Selected, depth: number, isLasting: boolean): Candidate[]
  /** Put in order what grew piece by piece, where that pays. */
  optimize(): void
  counts(): { entries: bigint; vectors: bigint }
}
