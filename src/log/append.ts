/**
 * Putting entries behind the head of a log, so that there is never a gap, a fork or an
 * acknowledged entry that is lost, however many append as the same writer.
 *
 * The head that this process remembers between calls is only a guess: the statement that inserts
 * behind it is guarded by it, and inserts nothing when the log has another head. What happens then
 * depends on the database: `append-exclusive.ts`, where a transaction excludes other writers, and
 * `append-contended.ts`, where it does not.
 *
 * @module
 */
import type { Backend, Dialect } from '../contract/backend.ts'
import type { Entry } from '../contract/entry.ts'
import { announce } from '../primitives/doorbell.ts'
import { confirmHead, rememberHead } from '../shared/head-guess.ts'
import { appendContended } from './append-contended.ts'
import { appendExclusive } from './append-exclusive.ts'
import { type Append, checkExpected, readHead } from './attempt.ts'

const STRATEGIES: Readonly<Record<Dialect, (db: Backend, append: Append) => Entry[]>> = {
  sqlite: appendExclusive,
  postgres: appendContended,
}

/**
 * Append payloads, all or none; see `WriterLog.append`.
 * @returns the entries, which are durable and announced.
 */
export function appendEntries(db: Backend, append: Append): Entry[] {
  if (append.payloads.length === 0) {
    if (append.expected !== undefined) checkExpected(append, readHead(db, append))
    return []
  }
  const entries = STRATEGIES[db.dialect](db, append)
  const [first] = entries
  const last = entries.at(-1)
  if (first === undefined || last === undefined) return entries
  const isCommitted = !db.inTransaction
  rememberHead(db, last, isCommitted)
  if (isCommitted) db.acknowledged?.(first)
  else {
    db.afterCommit(() => {
      confirmHead(db, last)
      db.acknowledged?.(first)
    })
  }
  announce(db, entries)
  return entries
}
