/**
 * How far an index has come in each log: a causal cursor, kept beside the rows that were made
 * of the entries, and moved with them.
 *
 * @module
 */
import { checkSelection, logKey, quote, sameBytes } from '#shared'
import {
  type Backend,
  type Dialect,
  type Entry,
  type LogHead,
  MalformedRowError,
  WriterLog,
} from '../index.ts'
import { IndexCursorError } from './errors.ts'
import type { Definition } from './tables.ts'

/** A log as its index knows it. */
export interface IndexedLog {
  readonly id: bigint
  /** 0 where none of its first entries was indexed yet. */
  readonly seq: bigint
  readonly contentHash: Uint8Array | null
}

/** Which logs are looked at for entries that are pending; all where nothing is said. */
export interface PendingSelection {
  readonly stream?: string | undefined
  /** All streams whose name starts with this; not together with `stream`. */
  readonly prefix?: string | undefined
  readonly writer?: string | undefined
}

/** Keeps a row from other writers. On SQLite a write transaction does so by itself. */
const HOLD: Readonly<Record<Dialect, string>> = { sqlite: '', postgres: ' FOR UPDATE' }

/** The logs of one index. */
export class IndexCursor {
  readonly #db: Backend
  readonly #name: string
  readonly #table: string

  constructor(db: Backend, { name, id }: Definition) {
    this.#db = db
    this.#name = name
    this.#table = `_agent_store_recall_${id}_log`
  }

  /** How far the index has come, in each log of which it has the beginning. */
  heads(): LogHead[] {
    const rows = this.#db.query(
      `SELECT stream, writer, seq, content_hash FROM ${this.#table} WHERE seq > 0
        ORDER BY stream, writer`,
    )
    return rows.map(([stream, writer, seq, contentHash]) => {
      if (
        typeof stream === 'string' &&
        typeof writer === 'string' &&
        typeof seq === 'bigint' &&
        contentHash instanceof Uint8Array
      ) {
        return { stream, writer, seq, contentHash }
      }
      throw new MalformedRowError(`the cursor of index ${quote(this.#name)} is damaged; rebuild it`)
    })
  }

  /**
   * The entries that it has not come to yet, log by log, each in its order; lazily.
   * @throws IndexCursorError when a log is not the one that was indexed.
   */
  *pending(selection: PendingSelection): Generator<Entry> {
    const { streams, prefix, writer } = checkSelection(selection)
    const known = new Map<string, LogHead>()
    for (const head of this.heads()) {
      if (streams !== undefined && !streams.includes(head.stream)) continue
      if (writer !== undefined && head.writer !== writer) continue
      if (head.stream.startsWith(prefix)) known.set(logKey(head), head)
    }
    for (const each of streams ?? WriterLog.streams(this.#db, { prefix })) {
      for (const head of WriterLog.heads(this.#db, each)) {
        if (writer !== undefined && head.writer !== writer) continue
        const seen = known.get(logKey(head))
        known.delete(logKey(head))
        if (seen !== undefined) this.#check(seen, head)
        if (seen?.seq === head.seq) continue
        yield* WriterLog.read(this.#db, each, head.writer, { after: seen?.seq ?? 0n })
      }
    }
    // Check missing logs last, so that one of them does not stop the others.
    for (const gone of known.values()) this.#check(gone, undefined)
  }

  /** How many entries it has not come to yet. */
  behind(): bigint {
    const known = new Map(this.heads().map((head) => [logKey(head), head.seq]))
    let behind = 0n
    for (const stream of WriterLog.streams(this.#db)) {
      for (const head of WriterLog.heads(this.#db, stream)) {
        const seen = known.get(logKey(head)) ?? 0n
        if (head.seq > seen) behind += head.seq - seen
      }
    }
    return behind
  }

  /** One log, taken down where it is new, and kept from other writers until the commit. */
  lock(stream: string, writer: string): IndexedLog {
    this.#db.exec(
      `INSERT INTO ${this.#table} (stream, writer, seq) VALUES (?, ?, 0) ON CONFLICT DO NOTHING`,
      [stream, writer],
    )
    const row = this.#db.query(
      `SELECT id, seq, content_hash FROM ${this.#table} WHERE stream = ? AND writer = ?${HOLD[this.#db.dialect]}`,
      [stream, writer],
    )[0]
    const [id, seq, contentHash] = row ?? []
    if (
      typeof id === 'bigint' &&
      typeof seq === 'bigint' &&
      (contentHash === null || contentHash instanceof Uint8Array)
    ) {
      return { id, seq, contentHash }
    }
    throw new MalformedRowError(`the cursor of index ${quote(this.#name)} is damaged; rebuild it`)
  }

  /**
   * Move past those of `entries`, of one log and by ascending seq, that follow without a gap.
   * @throws IndexCursorError where they do not link to what was indexed.
   */
  advance(log: IndexedLog, entries: readonly Entry[]): void {
    let { seq, contentHash } = log
    for (const entry of entries) {
      if (entry.seq > seq + 1n) break
      const expected = entry.seq === seq ? entry.contentHash : entry.prevHash
      if (entry.seq >= seq && !sameBytes(expected, contentHash)) {
        throw new IndexCursorError(this.#name, entry.stream, entry.writer, seq)
      }
      if (entry.seq === seq + 1n) ({ seq, contentHash } = entry)
    }
    if (seq === log.seq) return
    this.#db.exec(`UPDATE ${this.#table} SET seq = ?, content_hash = ? WHERE id = ?`, [
      seq,
      contentHash,
      log.id,
    ])
  }

  #check(seen: LogHead, head: LogHead | undefined): void {
    const { stream, writer, seq } = seen
    const stored = seq === head?.seq ? head : WriterLog.entry(this.#db, stream, writer, seq)
    if (stored === null || !sameBytes(stored.contentHash, seen.contentHash)) {
      throw new IndexCursorError(this.#name, stream, writer, seq)
    }
  }
}
