/**
 * What can go wrong, as a small tree: every failure of the store is a
 * {@link StoreError} with a stable `code`; what a caller passed wrongly is a plain
 * `TypeError` or `RangeError` that names the argument and the value.
 *
 * @module
 */
import type { CommitEvent, Head } from './entry.ts'

/** Root of every failure that the store itself reports. */
export abstract class StoreError extends Error {
  /** Stable, machine-readable identity of the failure. */
  abstract readonly code: string
}

/** This package cannot run on the Node that imports it; thrown by the import. */
export class UnsupportedNodeError extends StoreError {
  readonly code = 'STORE_UNSUPPORTED_NODE'
}

/** The database refused a statement; `cause` holds the driver's own error. */
export class BackendError extends StoreError {
  readonly code = 'STORE_BACKEND'
  /** The database's own name for the failure (`SQLITE_FULL`, …), where it gave one. */
  readonly driverCode: string | undefined

  constructor(message: string, options?: ErrorOptions & { driverCode?: string | undefined }) {
    super(message, options)
    this.driverCode = options?.driverCode
  }
}

/** Another connection held the lock for longer than the busy timeout. Nothing was written. */
export class BusyError extends StoreError {
  readonly code = 'STORE_BUSY'
}

/**
 * The server cannot be reached, or the connection to it was lost while nothing was in flight
 * that could have been stored. What was open as a transaction was rolled back.
 */
export class ConnectionError extends StoreError {
  readonly code = 'STORE_CONNECTION'
  /** SQLSTATE, or the system's own name for the failure (`ECONNREFUSED`, …), where there is one. */
  readonly driverCode: string | undefined

  constructor(message: string, options?: ErrorOptions & { driverCode?: string | undefined }) {
    super(message, options)
    this.driverCode = options?.driverCode
  }
}

/** The server did not answer in time; the connection was given up. Nothing was stored by the call. */
export class DeadlineError extends StoreError {
  readonly code = 'STORE_DEADLINE'
}

/**
 * A write was sent, and its answer was lost: it may be stored, or be stored yet. `cause` says
 * how the answer was lost. Appending the same payload to the same log again finds out, and
 * stores it exactly once.
 */
export class InDoubtError extends StoreError {
  readonly code = 'STORE_IN_DOUBT'
}

/**
 * The store no longer has an entry that was acknowledged before: it was restored to an earlier
 * point, or is not the store that acknowledged it. Nothing was written.
 */
export class LogRegressedError extends StoreError {
  readonly code = 'STORE_LOG_REGRESSED'
  readonly stream: string
  readonly writer: string
  /** The head that this process knows to have been stored. */
  readonly acknowledged: Head

  constructor(stream: string, writer: string, acknowledged: Head) {
    super(
      `stream ${quote(stream)} writer ${quote(writer)} lacks seq ${acknowledged.seq}, which was ` +
        'acknowledged; is this an older copy of the store? Open it anew to go on from what it has',
    )
    this.stream = stream
    this.writer = writer
    const { seq, contentHash } = acknowledged
    this.acknowledged = { seq, contentHash }
  }
}

/** The backend was closed before the call. */
export class ClosedError extends StoreError {
  readonly code = 'STORE_CLOSED'
}

/**
 * The file that is open was replaced by another, or deleted: what this process reads and writes
 * is not what others see. Close it, and open the path again.
 */
export class FileReplacedError extends StoreError {
  readonly code = 'STORE_FILE_REPLACED'
  readonly path: string
  /**
   * The first entry that was acknowledged since the file was last seen in its place: it and what
   * came after (counters as well) may be lost. `undefined` where no entry was acknowledged since.
   */
  readonly firstUnseen: CommitEvent | undefined

  constructor(path: string, firstUnseen?: CommitEvent) {
    super(
      `${quote(path)} is not the file that was opened any more; close it and open it again` +
        (firstUnseen === undefined
          ? ''
          : `; what was acknowledged from stream ${quote(firstUnseen.stream)} writer ` +
            `${quote(firstUnseen.writer)} seq ${firstUnseen.seq} on may not be in it`),
    )
    this.path = path
    this.firstUnseen = firstUnseen
  }
}

/**
 * Two SQLite libraries of this process have one file open. Their locks do not exclude each other:
 * what is acknowledged can be lost, and the file be damaged.
 */
export class TwoLibrariesError extends StoreError {
  readonly code = 'STORE_TWO_LIBRARIES'
  readonly path: string

  constructor(path: string) {
    super(
      `two SQLite libraries of this process have ${quote(path)} open, which loses writes and damages ` +
        'the file; open it by one library alone, and give that connection to SqliteBackend.fromConnection',
    )
    this.path = path
  }
}

/**
 * A counter stands behind a value that this backend was given: the store was restored to an
 * earlier point, or is not the store that gave the value.
 */
export class GenerationRegressedError extends StoreError {
  readonly code = 'STORE_GENERATION_REGRESSED'
  readonly key: string
  /** The value that this backend was given. */
  readonly acknowledged: bigint
  readonly current: bigint

  constructor(key: string, acknowledged: bigint, current: bigint) {
    super(
      `generation ${quote(key)} stands at ${current}, and ${acknowledged} was acknowledged; is this an ` +
        'older copy of the store? Open it anew to go on from what it has',
    )
    this.key = key
    this.acknowledged = acknowledged
    this.current = current
  }
}

/** A table of the store is missing, or is not the table that the store knows by that name. */
export class SchemaError extends StoreError {
  readonly code = 'STORE_SCHEMA'
}

/** A stored value has a type or length that no writer of this format gives it. */
export class MalformedRowError extends StoreError {
  readonly code = 'STORE_MALFORMED_ROW'
}

/** A configuration names something that does not exist or cannot be had. */
export class PolicyError extends StoreError {
  readonly code = 'STORE_POLICY'
}

/** Verification found an entry that is missing, out of place or edited. */
export class ChainBrokenError extends StoreError {
  readonly code = 'STORE_CHAIN_BROKEN'
  readonly stream: string
  readonly writer: string
  /** The first sequence number at which the log is not what it should be. */
  readonly seq: bigint
  readonly detail: string

  constructor(stream: string, writer: string, seq: bigint, detail: string) {
    super(
      `chain broken on stream ${quote(stream)} writer ${quote(writer)} at seq ${seq}: ${detail}`,
    )
    this.stream = stream
    this.writer = writer
    this.seq = seq
    this.detail = detail
  }
}

/** An append expected another head than the log has. Nothing was written. */
export class ConflictError extends StoreError {
  readonly code = 'STORE_CONFLICT'
  readonly expected: Head | null
  readonly actual: Head | null

  constructor(stream: string, writer: string, expected: Head | null, actual: Head | null) {
    super(
      `stream ${quote(stream)} writer ${quote(writer)} has its head at seq ${actual?.seq ?? 0n}, ` +
        `expected was ${expected?.seq ?? 0n}${expected?.seq === actual?.seq ? ' with another hash' : ''}; ` +
        'read the entries past your head and decide again',
    )
    this.expected = expected
    this.actual = actual
  }
}

/** A counter was asked to move backwards. It was left as it was. */
export class NonMonotonicGenerationError extends StoreError {
  readonly code = 'STORE_NON_MONOTONIC_GENERATION'
  readonly key: string
  readonly current: bigint
  readonly attempted: bigint

  constructor(key: string, current: bigint, attempted: bigint) {
    super(`non-monotonic generation on ${quote(key)}: current ${current}, attempted ${attempted}`)
    this.key = key
    this.current = current
    this.attempted = attempted
  }
}

/** A fence found that the counter moved on: its holder has been superseded. */
export class StaleGenerationError extends StoreError {
  readonly code = 'STORE_STALE_GENERATION'
  readonly key: string
  readonly held: bigint
  readonly current: bigint

  constructor(key: string, held: bigint, current: bigint) {
    super(`stale generation on ${quote(key)}: held ${held}, current ${current}`)
    this.key = key
    this.held = held
    this.current = current
  }
}

/** A counter stands at 2^63-1 and cannot be bumped. It was left as it was. */
export class GenerationExhaustedError extends StoreError {
  readonly code = 'STORE_GENERATION_EXHAUSTED'
  readonly key: string

  constructor(key: string) {
    super(`generation ${quote(key)} stands at 2^63-1, the largest; start a counter of another name`)
    this.key = key
  }
}

/**
 * Give each class its `name` as text, which a minifier leaves alone. It goes on the prototype, as
 * the names of JavaScript's own errors do.
 */
export function nameErrors(
  classes: Readonly<Record<string, { readonly prototype: StoreError }>>,
): void {
  for (const [name, { prototype }] of Object.entries(classes)) {
    Object.defineProperty(prototype, 'name', { value: name, writable: true, configurable: true })
  }
}

nameErrors({
  StoreError,
  UnsupportedNodeError,
  BackendError,
  BusyError,
  ConnectionError,
  DeadlineError,
  InDoubtError,
  LogRegressedError,
  ClosedError,
  FileReplacedError,
  TwoLibrariesError,
  SchemaError,
  MalformedRowError,
  PolicyError,
  ChainBrokenError,
  ConflictError,
  NonMonotonicGenerationError,
  StaleGenerationError,
  GenerationExhaustedError,
  GenerationRegressedError,
})

/** A value as an error message shows it: quoted, bounded, never throwing. */
export function quote(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value !== 'string') {
    return value instanceof Uint8Array
      ? `${value.length} bytes`
      : value === null || typeof value !== 'object'
        ? String(value)
        : Object.prototype.toString.call(value)
  }
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}
