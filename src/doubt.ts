/**
 * Appends that were sent to a server and not answered: they may be stored, or not, or be
 * stored yet. Kept for each log until the same append comes again and finds out.
 *
 * @module
 */
import type { Backend } from './backend.ts'
import { type Entry, type Head, sameHead } from './entry.ts'

/** Which log is appended to. */
export interface Log {
  readonly stream: string
  readonly writer: string
}

/** Entries of a log, and the head that they are to be put behind. */
export interface Attempt extends Log {
  readonly head: Head | null
  readonly entries: Entry[]
}

const doubts = new WeakMap<Backend, Map<string, Attempt>>()

/** Keep what was sent and not answered. */
export function keepDoubt(db: Backend, log: Log, attempt: Attempt): void {
  let known = doubts.get(db)
  if (known === undefined) {
    known = new Map()
    doubts.set(db, known)
  }
  known.set(keyOf(log), attempt)
}

/** The log has nothing in doubt any more: the same payload after this is another entry. */
export function forgetDoubt(db: Backend, log: Log): void {
  doubts.get(db)?.delete(keyOf(log))
}

/** What was sent and not answered, if this is the same append once more. */
export function doubtOf(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Attempt | undefined {
  const doubt = doubts.get(db)?.get(keyOf(log))
  // A transaction that is rolled back would settle nothing.
  if (doubt === undefined || db.inTransaction) return undefined
  const isSame =
    (expected === undefined || sameHead(expected, doubt.head)) &&
    doubt.entries.length === payloads.length &&
    doubt.entries.every(({ payload }, i) => Buffer.compare(payload, payloads[i] ?? payload) === 0)
  return isSame ? doubt : undefined
}

function keyOf({ stream, writer }: Log): string {
  return `${stream}\0${writer}`
}
