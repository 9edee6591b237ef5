/**
 * Putting entries behind the head of a log, so that there is never a gap, a fork or an
 * acknowledged entry that is lost, however many append as the same writer.
 *
 * What is remembered of a head between calls is only a guess: the statement that inserts
 * behind it is guarded by it, and inserts nothing when the log has another head. Then the head
 * is read, and on SQLite written to in a transaction that excludes others; on Postgres, where
 * nobody is excluded, the guarded statement is tried again, and behind a lock once a few tries
 * were lost to others.
 *
 * @module
 */
import { MAX_INT64 } from './arguments.ts'
import type { Backend, Dialect, Value } from './backend.ts'
import { chainHash } from './chain.ts'
import { announce } from './doorbell.ts'
import { type Attempt, doubtOf, forgetDoubt, keepDoubt, type Log } from './doubt.ts'
import { type Entry, type Head, sameHead } from './entry.ts'
import {
  BackendError,
  ConflictError,
  ConnectionError,
  DeadlineError,
  InDoubtError,
  LogRegressedError,
  quote,
} from './errors.ts'
import { guessHead, rememberHead } from './head-guess.ts'
import { toPointer } from './log-names.ts'

/** A statement, and its parameters for an entry behind a head. */
interface InsertAfter {
  readonly sql: string
  readonly toParams: (entry: Entry, head: Head) => Value[]
}

const COLUMNS = 'stream, writer, seq, prev_hash, content_hash, payload'
const WHERE = 'FROM _agent_store_log WHERE stream = ? AND writer = ?'
const HEAD = `SELECT seq, content_hash ${WHERE} ORDER BY seq DESC LIMIT 1`
const HASH_AT = `SELECT content_hash ${WHERE} AND seq = ?`
const INSERT = `INSERT INTO _agent_store_log (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`
/** Rows of one INSERT, where there are so many: crossing into the driver is a third of its cost. */
const BATCH = 10
const INSERT_BATCH = `${INSERT}${', (?, ?, ?, ?, ?, ?)'.repeat(BATCH - 1)}`
/** Inserts behind the given head or not at all. */
const INSERT_AFTER: Readonly<Record<Dialect, InsertAfter>> = {
  sqlite: {
    // Another head makes seq NULL, which IGNORE leaves out. INSERT … SELECT from the same table
    // would first copy the row to a temporary one (+15%).
    sql: `INSERT OR IGNORE INTO _agent_store_log (${COLUMNS})
  VALUES (?, ?, CASE WHEN (${HEAD}) = (?, ?) THEN ? END, ?, ?, ?)`,
    toParams: ({ stream, writer, seq, prevHash, contentHash, payload }, head) => [
      stream,
      writer,
      stream,
      writer,
      head.seq,
      head.contentHash,
      seq,
      prevHash,
      contentHash,
      payload,
    ],
  },
  postgres: {
    // A rival at the same place is waited for, and then gone before. To look for the head from
    // where it should be on, and to take from it what the entry shares with it, saves a fifth of
    // the server's time.
    sql: `INSERT INTO _agent_store_log (${COLUMNS})
  SELECT stream, writer, seq + 1, content_hash, ?::bytea, ?::bytea FROM (
    SELECT stream, writer, seq, content_hash ${WHERE} AND seq >= ? ORDER BY seq DESC LIMIT 1
  ) AS head WHERE seq = ? AND content_hash = ? ON CONFLICT DO NOTHING`,
    toParams: ({ stream, writer, contentHash, payload }, head) => [
      contentHash,
      payload,
      stream,
      writer,
      head.seq,
      head.seq,
      head.contentHash,
    ],
  },
}
const INSERT_FIRST = `INSERT INTO _agent_store_log (${COLUMNS})
  SELECT ?::text, ?::text, ?::bigint, ?::bytea, ?::bytea, ?::bytea
  WHERE NOT EXISTS (SELECT ${WHERE}) ON CONFLICT DO NOTHING`
const LOCK_LOG =
  "SELECT pg_advisory_xact_lock(hashtextextended(?, hashtextextended(?, hashtext('agent-store'))))"
/** Stores nothing, but its commit waits for a standby as every write does. */
const CONFIRM = "SELECT pg_logical_emit_message(true, 'agent-store', '')"
/** Races that are run before the lock is taken. */
const FREE_TRIES = 3

/** What is to be appended where. */
interface Append extends Log {
  readonly payloads: readonly Uint8Array[]
  /** See `AppendOptions.expectedHead`. */
  readonly expected: Head | null | undefined
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
  const entries = db.dialect === 'sqlite' ? appendAlone(db, append) : appendAmongOthers(db, append)
  const last = entries.at(-1)
  if (last !== undefined) rememberHead(db, last)
  for (const entry of entries) announce(db, entry)
  return entries
}

/** Where a transaction excludes other writers. */
function appendAlone(db: Backend, append: Append): Entry[] {
  const { stream, writer, payloads, expected } = append
  const guess = expected === undefined ? guessHead(db, stream, writer) : expected
  const [payload] = payloads
  if (payloads.length === 1 && payload && guess && guess.seq < MAX_INT64) {
    const entry = entryBehind(guess, stream, writer, payload)
    if (insertEntry(db, entry, guess)) return [entry]
  }
  return db.transaction(() => {
    const head = readHead(db, append)
    checkExpected(append, head)
    const { entries } = attemptBehind(head, append)
    const whole = entries.length - (entries.length % BATCH)
    for (let i = 0; i < whole; i += BATCH) insertRows(db, INSERT_BATCH, entries.slice(i, i + BATCH))
    for (const entry of entries.slice(whole)) insertRows(db, INSERT, [entry])
    return entries
  })
}

function insertRows(db: Backend, sql: string, entries: readonly Entry[]): void {
  if (db.exec(sql, entries.flatMap(toRow)) !== entries.length) throw notStored()
}

/** Where others may append at any moment, and an answer may be lost on the way. */
function appendAmongOthers(db: Backend, append: Append): Entry[] {
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
  if (guess?.committed === true) checkNotRegressed(db, append, guess)
  for (let tries = 0; tries < FREE_TRIES; tries++) {
    const attempt = attemptBehindHead(db, append)
    if (tryInsert(db, attempt)) return attempt.entries
  }
  return db.transaction(() => {
    db.query(LOCK_LOG, [append.stream, append.writer])
    for (let before: Head | null | undefined; ; ) {
      // Those who still try freely may win once more; then they queue for the lock as well.
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

/** @returns whether `head` was the head, so that the entry is stored. */
function insertEntry(db: Backend, entry: Entry, head: Head): boolean {
  const { sql, toParams } = INSERT_AFTER[db.dialect]
  return db.exec(sql, toParams(entry, head)) === 1
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

/** @returns whether `head` was the head, so that the entries are stored: all of them or none. */
function insertBehind(db: Backend, { head, entries, stream, writer }: Attempt): boolean {
  const [only] = entries
  if (head !== null && only !== undefined && entries.length === 1) {
    return insertEntry(db, only, head)
  }
  const after = INSERT_AFTER[db.dialect]
  const rows = entries.map((entry, i) => {
    const previous = i === 0 ? head : entries[i - 1]
    return previous ? after.toParams(entry, previous) : [...toRow(entry), stream, writer]
  })
  const [first = [], ...others] = rows
  if (others.length === 0) return db.exec(INSERT_FIRST, first) === 1
  if (head !== null) return db.execMany(after.sql, rows) === rows.length
  return db.transaction(
    () => db.exec(INSERT_FIRST, first) === 1 && db.execMany(after.sql, others) === others.length,
  )
}

/** @returns whether the entries of an append in doubt are stored by now. */
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
  const stored = last !== undefined && isHashAt(db, log, last)
  if (stored) db.query(CONFIRM)
  return stored
}

/** @throws LogRegressedError when a head that was committed is not stored any more. */
function checkNotRegressed(db: Backend, log: Log, known: Head): void {
  if (!isHashAt(db, log, known)) throw new LogRegressedError(log.stream, log.writer, known)
}

function isHashAt(db: Backend, { stream, writer }: Log, { seq, contentHash }: Head): boolean {
  const found = db.query(HASH_AT, [stream, writer, seq])[0]?.[0]
  return found instanceof Uint8Array && Buffer.compare(found, contentHash) === 0
}

function readHead(db: Backend, { stream, writer }: Log): Head | null {
  const row = db.query(HEAD, [stream, writer])[0]
  return row === undefined ? null : toPointer(stream, writer, row[0], row[1])
}

function checkExpected({ stream, writer, expected }: Append, actual: Head | null): void {
  if (expected !== undefined && !sameHead(expected, actual)) {
    throw new ConflictError(stream, writer, expected, actual)
  }
}

function attemptBehindHead(db: Backend, append: Append): Attempt {
  const head = readHead(db, append)
  checkExpected(append, head)
  return attemptBehind(head, append)
}

/** The entries with these payloads behind `head`. */
function attemptBehind(head: Head | null, { stream, writer, payloads }: Append): Attempt {
  let previous = head
  const entries = payloads.map((payload) => {
    const entry = entryBehind(previous, stream, writer, payload)
    previous = entry
    return entry
  })
  return { stream, writer, head, entries }
}

function entryBehind(
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

function toRow({
  stream,
  writer,
  seq,
  prevHash,
  contentHash,
  payload,
}: Entry): [string, string, ...Value[]] {
  return [stream, writer, seq, prevHash, contentHash, payload]
}

function notStored(): BackendError {
  return new BackendError(
    'the database did not store the entry; does a trigger on the log ignore it?',
  )
}
