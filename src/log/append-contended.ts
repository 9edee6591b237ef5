/**
 * Appending where others may append at any moment, and where an answer may be lost on the way:
 * PostgreSQL.
 *
 * The guarded statement is tried behind a guessed head, then behind the head that is read, and
 * behind an advisory lock once a few tries were lost to others. An append that was not answered
 * is remembered: when it comes again, the same statement is sent again. The statement waits for
 * the first one if that is still under way, and finds its own hash if that was stored.
 *
 * @module
 */
import { MAX_INT64 } from '../contract/arguments.ts'
import type { Backend, Value } from '../contract/backend.ts'
import type { Entry, Head } from '../contract/entry.ts'
import { BackendError, ConnectionError, DeadlineError, InDoubtError } from '../contract/errors.ts'
import { sameHead } from '../shared/head.ts'
import { guessHead } from '../shared/head-guess.ts'
import {
  type Append,
  type Attempt,
  attemptBehind,
  checkExpected,
  checkNotRegressed,
  isStoredAt,
  LOG_COLUMNS,
  notStored,
  OF_LOG,
  readHead,
  toRow,
} from './attempt.ts'
import { doubtOf, forgetDoubt, keepDoubt } from './in-doubt.ts'

/**
 * Inserts behind the given head or not at all. A rival at the same place is waited for, and then
 * gone before. To look for the head from where it should be on, and to take from it what the entry
 * shares with it, saves a fifth of the server's time.
 */
const INSERT_BEHIND = `INSERT INTO _agent_store_log (${LOG_COLUMNS})
  SELECT stream, writer, seq + 1, content_hash, ?::bytea, ?::bytea FROM (
    SELECT stream, writer, seq, content_hash ${OF_LOG} AND seq >= ? ORDER BY seq DESC LIMIT 1
  ) AS head WHERE seq = ? AND content_hash = ? ON CONFLICT DO NOTHING`
const INSERT_FIRST = `INSERT INTO _agent_store_log (${LOG_COLUMNS})
  SELECT ?::text, ?::text, ?::bigint, ?::bytea, ?::bytea, ?::bytea
  WHERE NOT EXISTS (SELECT ${OF_LOG}) ON CONFLICT DO NOTHING`
const LOCK_LOG =
  "SELECT pg_advisory_xact_lock(hashtextextended(?, hashtextextended(?, hashtext('agent-store'))))"
/** Stores nothing, but its commit waits for a standby as every write does. */
const CONFIRM = "SELECT pg_logical_emit_message(true, 'agent-store', '')"
/** Races that are run before the lock is taken. */
const FREE_TRIES = 3

/** Returns the entries, which are durable. @throws InDoubtError when an answer was lost. */
export function appendContended(db: Backend, append: Append): Entry[] {
  const doubt = doubtOf(db, append, append.payloads, append.expected)
  const isSettled = doubt !== undefined && settle(db, doubt)
  const entries = isSettled ? doubt.entries : appendAnew(db, append)
  forgetDoubt(db, append)
  return entries
}

function appendAnew(db: Backend, append: Append): Entry[] {
  const guess = guessHead(db, append.stream, append.writer)
  const first = append.expected === undefined ? guess : append.expected
  if (first && first.seq < MAX_INT64) {
    const attempt = attemptBehind(first, append)
    if (tryInsert(db, attempt)) return attempt.entries
  }
  if (guess?.acknowledged !== undefined) checkNotRegressed(db, append, guess.acknowledged)
  for (let tries = 0; tries < FREE_TRIES; tries++) {
    const attempt = attemptBehindHead(db, append)
    if (tryInsert(db, attempt)) return attempt.entries
  }
  return db.transaction(() => {
    db.query(LOCK_LOG, [append.stream, append.writer])
    for (let before: Head | null | undefined; ; ) {
      // Another process that has not taken the lock yet may win once more; then it queues for it too.
      const attempt = attemptBehindHead(db, append)
      if (before !== undefined && sameHead(before, attempt.head)) throw notStored()
      if (tryInsert(db, attempt)) {
        keepDoubt(db, append, attempt) // until the commit is answered
        return attempt.entries
      }
      before = attempt.head
    }
  })
}

function behindParams({ stream, writer, contentHash, payload }: Entry, head: Head): Value[] {
  return [contentHash, payload, stream, writer, head.seq, head.seq, head.contentHash]
}

function attemptBehindHead(db: Backend, append: Append): Attempt {
  const head = readHead(db, append)
  checkExpected(append, head)
  return attemptBehind(head, append)
}

/** Insert, and remember what was sent when the answer is lost. */
function tryInsert(db: Backend, attempt: Attempt): boolean {
  try {
    return insertBehind(db, attempt)
  } catch (error) {
    if (error instanceof InDoubtError) keepDoubt(db, attempt, attempt)
    throw error
  }
}

/** Returns whether `head` was the head, so that the entries are stored: all of them or none. */
function insertBehind(db: Backend, { head, entries, stream, writer }: Attempt): boolean {
  const [only] = entries
  if (head !== null && only !== undefined && entries.length === 1) {
    return db.exec(INSERT_BEHIND, behindParams(only, head)) === 1
  }
  const rows = entries.map((entry, i) => {
    const previous = i === 0 ? head : entries[i - 1]
    return previous ? behindParams(entry, previous) : [...toRow(entry), stream, writer]
  })
  const [first = [], ...others] = rows
  if (others.length === 0) return db.exec(INSERT_FIRST, first) === 1
  if (head !== null) return db.execMany(INSERT_BEHIND, rows) === rows.length
  return db.transaction(
    () =>
      db.exec(INSERT_FIRST, first) === 1 && db.execMany(INSERT_BEHIND, others) === others.length,
  )
}

/** Returns whether the entries of an append in doubt are stored by now. */
function settle(db: Backend, doubt: Attempt): boolean {
  try {
    return tryInsert(db, doubt) || isStored(db, doubt)
  } catch (error) {
    const isRefusal =
      error instanceof BackendError ||
      error instanceof ConnectionError ||
      error instanceof DeadlineError
    if (!isRefusal) throw error
    // A statement timeout, for one, while the first attempt waits for a standby, or a server that
    // is not back: a refusal now says nothing of what was sent before.
    throw new InDoubtError(`whether an append is stored is still not known: ${error.message}`, {
      cause: error,
    })
  }
}

/** Whether the entries of an append in doubt are stored after all, and durably. */
function isStored(db: Backend, { entries, ...log }: Attempt): boolean {
  const last = entries.at(-1)
  const stored = last !== undefined && isStoredAt(db, log, last)
  if (stored) db.query(CONFIRM)
  return stored
}
