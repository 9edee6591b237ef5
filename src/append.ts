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
import { type Entry, type Head, sameHead } from './entry.ts'
import { BackendError, ConflictError, InDoubtError, LogRegressedError, quote } from './errors.ts'
import { guessHead, rememberHead } from './head-guess.ts'
import { toPointer } from './log-names.ts'

/** Which log is appended to. */
export interface Log {
  readonly stream: string
  readonly writer: string
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
const INSERT_AFTER: Readonly<Record<Dialect, string>> = {
  // Another head makes seq NULL, which IGNORE leaves out. INSERT … SELECT from the same table
  // would first copy the row to a temporary one (+15%).
  sqlite: `INSERT OR IGNORE INTO _agent_store_log (${COLUMNS})
  VALUES (?, ?, CASE WHEN (${HEAD}) = (?, ?) THEN ? END, ?, ?, ?)`,
  // A rival at the same place is waited for, and then gone before.
  postgres: `INSERT INTO _agent_store_log (${COLUMNS})
  SELECT log.*, entry.* FROM (VALUES (?::text, ?::text)) AS log,
    LATERAL (${HEAD}) AS head, (VALUES (?::bigint, ?::bytea)) AS expected (seq, content_hash),
    (VALUES (?::bigint, ?::bytea, ?::bytea, ?::bytea)) AS entry
  WHERE head.seq = expected.seq AND head.content_hash = expected.content_hash
  ON CONFLICT DO NOTHING`,
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

/**
 * Append `payloads`, all or none; see `WriterLog.append`.
 * @returns the entries, which are durable and announced.
 */
export function appendEntries(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Entry[] {
  if (payloads.length === 0) {
    if (expected !== undefined) checkExpected(log, expected, readHead(db, log))
    return []
  }
  const entries =
    db.dialect === 'sqlite'
      ? appendAlone(db, log, payloads, expected)
      : appendAmongOthers(db, log, payloads, expected)
  const last = entries.at(-1)
  if (last !== undefined) rememberHead(db, last)
  for (const entry of entries) announce(db, entry)
  return entries
}

/** Where a transaction excludes other writers. */
function appendAlone(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Entry[] {
  const guess = expected === undefined ? guessHead(db, log.stream, log.writer) : expected
  if (payloads.length === 1 && guess && guess.seq < MAX_INT64) {
    const entries = chain(log, payloads, guess)
    if (insertBehind(db, log, entries, guess)) return entries
  }
  return db.transaction(() => {
    const head = readHead(db, log)
    checkExpected(log, expected, head)
    const entries = chain(log, payloads, head)
    const whole = entries.length - (entries.length % BATCH)
    for (let i = 0; i < whole; i += BATCH) insertRows(db, INSERT_BATCH, entries.slice(i, i + BATCH))
    for (const entry of entries.slice(whole)) insertRows(db, INSERT, [entry])
    return entries
  })
}

function insertRows(db: Backend, sql: string, entries: readonly Entry[]): void {
  if (db.exec(sql, entries.flatMap(toRow)) !== entries.length) {
    throw new BackendError(
      'the database did not store the entry; does a trigger on the log ignore it?',
    )
  }
}

/** Where others may append at any moment, and an answer may be lost on the way. */
function appendAmongOthers(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Entry[] {
  const doubt = takeDoubt(db, log, payloads, expected)
  if (doubt !== undefined) {
    const stored = tryInsert(db, log, doubt.entries, doubt.head) || isStored(db, log, doubt)
    doubtsOf(db).delete(keyOf(log)) // The same payload after this is another entry.
    if (stored) return doubt.entries
  }
  const guess = guessHead(db, log.stream, log.writer)
  const first = expected === undefined ? guess : expected
  if (first && first.seq < MAX_INT64) {
    const entries = chain(log, payloads, first)
    if (tryInsert(db, log, entries, first)) return entries
  }
  if (guess?.committed === true) checkNotRegressed(db, log, guess)
  for (let tries = 0; tries < FREE_TRIES; tries++) {
    const entries = tryBehindHead(db, log, payloads, expected)
    if (entries !== undefined) return entries
  }
  return db.transaction(() => {
    db.query(LOCK_LOG, [log.stream, log.writer])
    for (;;) {
      // Those who still try freely may win once more; then they queue for the lock as well.
      const entries = tryBehindHead(db, log, payloads, expected)
      if (entries !== undefined) return entries
    }
  })
}

function tryBehindHead(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Entry[] | undefined {
  const head = readHead(db, log)
  checkExpected(log, expected, head)
  const entries = chain(log, payloads, head)
  return tryInsert(db, log, entries, head) ? entries : undefined
}

/** Insert, and remember what was sent when the answer is lost. */
function tryInsert(db: Backend, log: Log, entries: Entry[], head: Head | null): boolean {
  try {
    return insertBehind(db, log, entries, head)
  } catch (error) {
    if (error instanceof InDoubtError) doubtsOf(db).set(keyOf(log), { head, entries })
    throw error
  }
}

/** @returns whether `head` was the head, so that the entries are stored: all of them or none. */
function insertBehind(
  db: Backend,
  log: Log,
  entries: readonly Entry[],
  head: Head | null,
): boolean {
  const { stream, writer } = log
  let previous = head
  const rows = entries.map((entry) => {
    const [, , ...cells] = toRow(entry)
    const guard = previous === null ? [] : [previous.seq, previous.contentHash]
    previous = entry
    return [
      stream,
      writer,
      ...(guard.length > 0 ? [stream, writer, ...guard, ...cells] : [...cells, stream, writer]),
    ]
  })
  const [first = [], ...others] = rows
  const after = INSERT_AFTER[db.dialect]
  if (head !== null)
    return (rows.length === 1 ? db.exec(after, first) : db.execMany(after, rows)) === rows.length
  if (others.length === 0) return db.exec(INSERT_FIRST, first) === 1
  return db.transaction(
    () => db.exec(INSERT_FIRST, first) === 1 && db.execMany(after, others) === others.length,
  )
}

interface Doubt {
  /** What they were to be put behind. */
  readonly head: Head | null
  readonly entries: Entry[]
}

const doubts = new WeakMap<Backend, Map<string, Doubt>>()

function doubtsOf(db: Backend): Map<string, Doubt> {
  let known = doubts.get(db)
  if (known === undefined) {
    known = new Map()
    doubts.set(db, known)
  }
  return known
}

/** What was sent and not answered, if this is the same append once more. */
function takeDoubt(
  db: Backend,
  log: Log,
  payloads: readonly Uint8Array[],
  expected: Head | null | undefined,
): Doubt | undefined {
  const known = doubts.get(db)
  const doubt = known?.get(keyOf(log))
  if (doubt === undefined) return undefined
  const isSame =
    (expected === undefined || sameHead(expected, doubt.head)) &&
    doubt.entries.length === payloads.length &&
    doubt.entries.every(({ payload }, i) => Buffer.compare(payload, payloads[i] ?? payload) === 0)
  if (!isSame || db.inTransaction) {
    known?.delete(keyOf(log))
    return undefined
  }
  return doubt
}

/** Whether the entries of an append in doubt are stored after all, and durably. */
function isStored(db: Backend, log: Log, { entries }: Doubt): boolean {
  const last = entries.at(-1)
  if (last === undefined) return true
  const found = db.query(HASH_AT, [log.stream, log.writer, last.seq])[0]?.[0]
  const stored = found instanceof Uint8Array && Buffer.compare(found, last.contentHash) === 0
  if (stored) db.query(CONFIRM)
  return stored
}

/** @throws LogRegressedError when a head that was committed is not stored any more. */
function checkNotRegressed(db: Backend, log: Log, known: Head): void {
  const found = db.query(HASH_AT, [log.stream, log.writer, known.seq])[0]?.[0]
  if (found instanceof Uint8Array && Buffer.compare(found, known.contentHash) === 0) return
  throw new LogRegressedError(log.stream, log.writer, known)
}

function readHead(db: Backend, { stream, writer }: Log): Head | null {
  const row = db.query(HEAD, [stream, writer])[0]
  return row === undefined ? null : toPointer(stream, writer, row[0], row[1])
}

function checkExpected(log: Log, expected: Head | null | undefined, actual: Head | null): void {
  if (expected !== undefined && !sameHead(expected, actual)) {
    throw new ConflictError(log.stream, log.writer, expected, actual)
  }
}

/** The entries with these payloads behind `head`. */
function chain(log: Log, payloads: readonly Uint8Array[], head: Head | null): Entry[] {
  const { stream, writer } = log
  let previous = head
  return payloads.map((payload) => {
    const seq = (previous?.seq ?? 0n) + 1n
    if (seq > MAX_INT64) {
      throw new BackendError(
        `stream ${quote(stream)} writer ${quote(writer)} is full at seq ${MAX_INT64}`,
      )
    }
    const prevHash = previous === null ? null : previous.contentHash.slice()
    const contentHash = chainHash(prevHash, payload)
    const entry = { stream, writer, seq, prevHash, contentHash, payload }
    previous = entry
    return entry
  })
}

function toRow({ stream, writer, seq, prevHash, contentHash, payload }: Entry): Value[] {
  return [stream, writer, seq, prevHash, contentHash, payload]
}

function keyOf({ stream, writer }: Log): string {
  return `${stream}\0${writer}`
}
