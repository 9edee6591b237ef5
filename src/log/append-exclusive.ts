/**
 * Appending where a write transaction excludes other writers: SQLite.
 *
 * One entry behind a guessed head is one guarded statement. Where the guess was wrong, or where
 * there are several entries, the head is read and written to in one transaction.
 *
 * @module
 */
import { MAX_INT64 } from '../contract/arguments.ts'
import type { Backend } from '../contract/backend.ts'
import type { Entry, Head } from '../contract/entry.ts'
import { sameHead } from '../shared/head.ts'
import { guessHead } from '../shared/head-guess.ts'
import {
  type Append,
  attemptBehind,
  checkExpected,
  checkNotRegressed,
  entryBehind,
  HEAD,
  LOG_COLUMNS,
  notStored,
  readHead,
  toRow,
} from './attempt.ts'

const INSERT = `INSERT INTO _agent_store_log (${LOG_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`
/** Rows of one INSERT, where there are so many: crossing into the driver is a third of its cost. */
const BATCH = 10
const INSERT_BATCH = `${INSERT}${', (?, ?, ?, ?, ?, ?)'.repeat(BATCH - 1)}`
/**
 * Inserts behind the given head or not at all. Another head makes seq NULL, which IGNORE leaves
 * out. INSERT … SELECT from the same table would first copy the row to a temporary one (+15%).
 */
const INSERT_BEHIND = `INSERT OR IGNORE INTO _agent_store_log (${LOG_COLUMNS})
  VALUES (?, ?, CASE WHEN (${HEAD}) = (?, ?) THEN ? END, ?, ?, ?)`

/** Returns the entries, which are durable. */
export function appendExclusive(db: Backend, append: Append): Entry[] {
  const { stream, writer, payloads, expected } = append
  const known = guessHead(db, stream, writer)
  const guess = expected === undefined ? known : expected
  const [payload] = payloads
  if (payloads.length === 1 && payload && guess && guess.seq < MAX_INT64) {
    const entry = entryBehind(guess, stream, writer, payload)
    if (insertBehind(db, entry, guess)) return [entry]
  }
  return db.transaction(() => {
    const head = readHead(db, append)
    checkExpected(append, head)
    // A file that was overwritten in place by an older copy.
    const acknowledged = known?.acknowledged
    if (acknowledged !== undefined && !sameHead(acknowledged, head)) {
      checkNotRegressed(db, append, acknowledged)
    }
    const { entries } = attemptBehind(head, append)
    const whole = entries.length - (entries.length % BATCH)
    for (let i = 0; i < whole; i += BATCH) insertRows(db, INSERT_BATCH, entries.slice(i, i + BATCH))
    for (const entry of entries.slice(whole)) insertRows(db, INSERT, [entry])
    return entries
  })
}

/** Returns whether `head` was the head, so that the entry is stored. */
function insertBehind(db: Backend, entry: Entry, head: Head): boolean {
  const { stream, writer, seq, prevHash, contentHash, payload } = entry
  return (
    db.exec(INSERT_BEHIND, [
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
    ]) === 1
  )
}

function insertRows(db: Backend, sql: string, entries: readonly Entry[]): void {
  if (db.exec(sql, entries.flatMap(toRow)) !== entries.length) throw notStored()
}
