/**
 * An append that is asked for, and the entries that come of it behind a head.
 *
 * @module
 */
import { MAX_INT64 } from '../contract/arguments.ts'
import type { Backend, Value } from '../contract/backend.ts'
import type { Entry, Head, LogName } from '../contract/entry.ts'
import { BackendError, ConflictError, LogRegressedError, quote } from '../contract/errors.ts'
import { chainHash } from '../hash/chain.ts'
import { sameBytes } from '../shared/bytes.ts'
import { parseHead, sameHead } from '../shared/head.ts'

/** An append that is asked for: the payloads, and the log that they are for. */
export interface Append extends LogName {
  readonly payloads: readonly Uint8Array[]
  /** See `AppendOptions.expectedHead`. */
  readonly expected: Head | null | undefined
}

/** Entries of a log, and the head that they are to be put behind. */
export interface Attempt extends LogName {
  readonly head: Head | null
  readonly entries: Entry[]
}

/** The columns of the log, in the order of {@link toRow}. */
export const LOG_COLUMNS = 'stream, writer, seq, prev_hash, content_hash, payload'
/** One log. Parameters: stream, writer. */
export const OF_LOG = 'FROM _agent_store_log WHERE stream = ? AND writer = ?'
/** The head of a log. */
export const HEAD: string = `SELECT seq, content_hash ${OF_LOG} ORDER BY seq DESC LIMIT 1`

/** Returns the head that the log has; `null` for an empty log. @throws MalformedRowError. */
export function readHead(db: Backend, log: LogName): Head | null {
  const row = db.query(HEAD, [log.stream, log.writer])[0]
  return row === undefined ? null : parseHead(log, row[0], row[1])
}

/** @throws ConflictError when the caller expects another head than the log has. */
export function checkExpected({ stream, writer, expected }: Append, actual: Head | null): void {
  if (expected !== undefined && !sameHead(expected, actual)) {
    throw new ConflictError(stream, writer, expected, actual)
  }
}

const HASH_AT = `SELECT content_hash ${OF_LOG} AND seq = ?`

/** Whether the log has this head's entry. */
export function isStoredAt(db: Backend, { stream, writer }: LogName, head: Head): boolean {
  const found = db.query(HASH_AT, [stream, writer, head.seq])[0]?.[0]
  return found instanceof Uint8Array && sameBytes(found, head.contentHash)
}

/** @throws LogRegressedError when a head that this process knows to be committed is gone. */
export function checkNotRegressed(db: Backend, log: LogName, known: Head): void {
  if (!isStoredAt(db, log, known)) throw new LogRegressedError(log.stream, log.writer, known)
}

/** Returns the entries with these payloads behind `head`. @throws BackendError for a full log. */
export function attemptBehind(head: Head | null, { stream, writer, payloads }: Append): Attempt {
  let previous = head
  const entries = payloads.map((payload) => {
    const entry = entryBehind(previous, stream, writer, payload)
    previous = entry
    return entry
  })
  return { stream, writer, head, entries }
}

/** Returns the entry with this payload behind `head`. @throws BackendError for a full log. */
export function entryBehind(
  head: Head | null,
  stream: string,
  writer: string,
  payload: Uint8Array,
): Entry {
  const seq = head === null ? 1n : head.seq + 1n
  if (seq > MAX_INT64) {
    throw new BackendError(
      `stream ${quote(stream)} writer ${quote(writer)} is full at seq ${MAX_INT64}`,
    )
  }
  const prevHash = head === null ? null : head.contentHash.slice()
  return { stream, writer, seq, prevHash, contentHash: chainHash(prevHash, payload), payload }
}

/** Returns an entry as a row of the log. */
export function toRow({
  stream,
  writer,
  seq,
  prevHash,
  contentHash,
  payload,
}: Entry): [string, string, ...Value[]] {
  return [stream, writer, seq, prevHash, contentHash, payload]
}

/** The error for a database that neither stored an entry nor said why. */
export function notStored(): BackendError {
  return new BackendError(
    'the database did not store the entry; does a trigger on the log ignore it?',
  )
}
