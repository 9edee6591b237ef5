/**
 * What can go wrong with an index, as a branch of the store's errors.
 *
 * @module
 */
import { nameErrors, quote } from '#shared'
import { StoreError } from '../index.ts'

/** Root of the failures that recall itself reports. */
export abstract class RecallError extends StoreError {}

/** No index has this name; the message lists those that there are. */
export class UnknownIndexError extends RecallError {
  readonly code = 'RECALL_UNKNOWN_INDEX'
  readonly index: string
  readonly known: readonly string[]

  constructor(index: string, known: readonly string[]) {
    const list =
      known.length === 0 ? 'there is none yet' : `there are ${known.map(quote).join(', ')}`
    super(
      `no index ${quote(index)}; ${list}; RecallIndex.create makes one, as does \`agent-store recall index\``,
    )
    this.index = index
    this.known = known
  }
}

/** What an index was created with: it is fixed from then on. */
export type DefinedField = 'model' | 'dimensions' | 'distance'

/** The index was created for another model, another number of dimensions or another distance. */
export class IndexDefinitionError extends RecallError {
  readonly code = 'RECALL_DEFINITION'
  readonly index: string
  readonly field: DefinedField
  readonly expected: string
  readonly actual: string

  constructor(index: string, field: DefinedField, expected: unknown, actual: unknown) {
    const has = actual === undefined ? 'knows words alone' : `has ${field} ${shown(actual)}`
    const asked = expected === undefined ? 'none' : shown(expected)
    super(
      `index ${quote(index)} ${has}, and ${field} ${asked} was asked for; ` +
        'vectors of two kinds cannot be compared: take an index of another name, or drop this one',
    )
    this.index = index
    this.field = field
    this.expected = String(expected)
    this.actual = String(actual)
  }
}

/** The index was made by a version of this package that stores it in another way. */
export class IndexVersionError extends RecallError {
  readonly code = 'RECALL_VERSION'
  readonly index: string
  readonly found: bigint
  readonly known: bigint

  constructor(index: string, found: bigint, known: bigint) {
    super(
      `index ${quote(index)} is stored in version ${found}, and this is version ${known}; ` +
        'drop it and index the log again, or use the version of agent-store that made it',
    )
    this.index = index
    this.found = found
    this.known = known
  }
}

/** The database lacks what an index with vectors needs; the message says what to install. */
export class ExtensionError extends RecallError {
  readonly code = 'RECALL_EXTENSION'
}

/**
 * The log is not the one that was indexed: the entry at the index's cursor is another one, is
 * gone, or is not the one that the next entry links to. Verify the log; then rebuild the index.
 */
export class IndexCursorError extends RecallError {
  readonly code = 'RECALL_CURSOR'
  readonly stream: string
  readonly writer: string
  /** How far the index has come. */
  readonly seq: bigint

  constructor(index: string, stream: string, writer: string, seq: bigint) {
    super(
      `index ${quote(index)} has come to seq ${seq} of stream ${quote(stream)} writer ${quote(writer)}, ` +
        'and the log has another entry there, or none; verify the log, then rebuild the index',
    )
    this.stream = stream
    this.writer = writer
    this.seq = seq
  }
}

/** The consumer's `embed` failed, as often as it was tried, or gave what cannot be stored. */
export class EmbeddingError extends RecallError {
  readonly code = 'RECALL_EMBEDDING'
}

nameErrors({
  RecallError,
  UnknownIndexError,
  IndexDefinitionError,
  IndexVersionError,
  ExtensionError,
  IndexCursorError,
  EmbeddingError,
})

function shown(value: unknown): string {
  return typeof value === 'string' ? quote(value) : String(value)
}
