/**
 * Appends that were sent to a server and not answered: they may be stored, or not, or be
 * stored yet. Each log keeps its last one until the same append comes again and finds out.
 *
 * @module
 */
import type { Backend } from '../contract/backend.ts'
import type { Head, LogName } from '../contract/entry.ts'
import { sameBytes } from '../shared/bytes.ts'
import { sameHead } from '../shared/head.ts'
import { logKey } from '../shared/log-key.ts'
import type { Attempt } from './attempt.ts'

const doubts = new WeakMap<Backend, Map<string, Attempt>>()

/** Keep what was sent and not answered. */
export function keepDoubt(db: Backend, log: LogName, attempt: Attempt): void {
  let known = doubts.get(db)
  if (known === undefined) {
    known = new Map()
    doubts.set(db, known)
  }
  known.set(logKey(log), attempt)
}

/** The log has nothing in doubt any more: the same payload after this is another entry. */
export function forgetDoubt(db: Backend, log: LogName): void {
  doubts.get(db)?.delete(logKey(log))
}

/** What was sent and not answered, if this is the same append once more. */
export function doubtOf(
  db: Backend,
  log: LogName,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Attempt | undefined {
  const doubt = doubts.get(db)?.get(logKey(log))
  // A transaction that is rolled back would settle nothing.
  if (doubt === undefined || db.inTransaction) return undefined
  const isSame =
    (expected === undefined || sameHead(expected, doubt.head)) &&
    doubt.entries.length === payloads.length &&
    doubt.entries.every(({ payload }, i) => sameBytes(payload, payloads[i] ?? payload))
  return isSame ? doubt : undefined
}
