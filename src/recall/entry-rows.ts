/**
 * Entries on their way into an index: log by log, each row once, and the cursor moved with them.
 *
 * @module
 */
import { logKey, sameBytes } from '#shared'
import type { Entry } from '../index.ts'
import type { IndexCursor } from './index-cursor.ts'
import type { IndexTables, NewRow } from './tables.ts'

/** An entry and what is made of it. */
export interface EntryRow {
  readonly entry: Entry
  readonly words: readonly string[]
  readonly vector: Float32Array | null
}

/**
 * Store what says something and is not stored yet. Call it in a transaction.
 * @returns how many rows were written.
 * @throws IndexCursorError when a log is not the one that was indexed before.
 */
export function writeRows(
  tables: IndexTables,
  cursor: IndexCursor,
  rows: readonly EntryRow[],
): number {
  let written = 0
  for (const log of byLog(rows)) written += writeLog(tables, cursor, log)
  return written
}

function writeLog(tables: IndexTables, cursor: IndexCursor, rows: readonly EntryRow[]): number {
  const [first] = rows
  const last = rows.at(-1)
  if (first === undefined || last === undefined) return 0
  const log = cursor.lock(first.entry.stream, first.entry.writer)
  const stored = tables.stored(log.id, first.entry.seq, last.entry.seq)
  const fresh = new Map<bigint, NewRow>()
  for (const { entry, words, vector } of rows) {
    const { seq, contentHash } = entry
    const old = stored.get(seq)
    const isSame = old !== undefined && sameBytes(old.contentHash, contentHash)
    if (isSame && (old.hasVector || vector === null)) continue
    if (words.length > 0 || vector !== null) {
      fresh.set(seq, { log: log.id, seq, contentHash, words, vector })
    }
  }
  tables.remove([...fresh.keys()].flatMap((seq) => stored.get(seq) ?? []))
  tables.insert([...fresh.values()])
  cursor.advance(
    log,
    rows.map(({ entry }) => entry),
  )
  return fresh.size
}

/** Those of each log, by their seqs; the logs in one order, so that two indexers do not block. */
function byLog(rows: readonly EntryRow[]): EntryRow[][] {
  const logs = new Map<string, EntryRow[]>()
  for (const row of rows) {
    const key = logKey(row.entry)
    const log = logs.get(key)
    if (log === undefined) logs.set(key, [row])
    else log.push(row)
  }
  return [...logs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, log]) => log.sort((a, b) => (a.entry.seq < b.entry.seq ? -1 : 1)))
}
