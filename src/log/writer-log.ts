/**
 * The log: for each `(stream, writer)` a sequence from 1 without gaps, in which every
 * entry's hash covers the hash before it. Order is purely causal; there is no clock.
 *
 * Several processes may append as the same writer; how that leaves no gap and no fork is
 * told in `append.ts`.
 *
 * @module
 */

import { checkCount, checkInt64, checkText, MAX_INT64, typeName } from '../contract/arguments.ts'
import type { Backend } from '../contract/backend.ts'
import type { Entry, Head, LogHead } from '../contract/entry.ts'
import { LogRegressedError, quote } from '../contract/errors.ts'
import { ensureTable, LOG } from '../contract/tables.ts'
import { checkHead } from '../shared/head.ts'
import { guessHead } from '../shared/head-guess.ts'
import { appendEntries } from './append.ts'
import { headsOf, streamsOf, writersOf } from './names.ts'
import { type LogPage, pages, type Range } from './pages.ts'
import { toPayload } from './payload.ts'
import { checkOldest, entriesOf, lazyEntriesOf, parseRow } from './rows.ts'
import { type Progress, verifyLog } from './verify.ts'

/** Options of an append. */
export interface AppendOptions {
  /**
   * Append only if the log's head is this one; `null` for an empty log. An entry will do.
   * Left out, the entry goes behind whatever is there.
   */
  readonly expectedHead?: Head | null | undefined
}

/** Which entries to read. */
export interface ReadOptions {
  /** Only entries with a larger seq: what a reader that missed the bell passes. Default 0n. */
  readonly after?: bigint | undefined
  /** At most this many. Default: all. */
  readonly limit?: number | undefined
  /** From the end backwards. Default `false`. */
  readonly reverse?: boolean | undefined
}

/** Options of a verification. */
export interface VerifyOptions {
  /**
   * A head that was verified before, where to go on. Its own entry must still be stored as it
   * was; those before it are not looked at again.
   */
  readonly from?: Head | null | undefined
  /** Called now and then with the number of entries checked since the last call. */
  readonly onProgress?: Progress | undefined
}

const WHERE = 'FROM _agent_store_log WHERE stream = ? AND writer = ?'
const COLUMNS = 'seq, prev_hash, content_hash, payload'
const HEAD = `SELECT ${COLUMNS} ${WHERE} ORDER BY seq DESC LIMIT 1`
const ONE = `SELECT ${COLUMNS} ${WHERE} AND seq = ?`
/** Stateless operations on the chained log. */
// biome-ignore lint/complexity/noStaticOnlyClass: mirrors the crate, whose documentation reads as ours
export class WriterLog {
  /**
   * Create the log's table where it is missing. Idempotent.
   * @throws SchemaError when another table has its name.
   */
  static ensureSchema(db: Backend): void {
    ensureTable(db, LOG)
  }

  /**
   * Append one entry: durable when it returns, and announced to the bells tied to `db`.
   * @param payload Bytes, or text, which is stored as UTF-8.
   * @throws ConflictError when the log has another head than `expectedHead`.
   * @throws InDoubtError when a server's answer was lost; append the same payload again to find out.
   * @throws LogRegressedError when the store lacks what was acknowledged before.
   * @throws FileReplacedError when the file was deleted, renamed, replaced or moved while it is open.
   * @throws TwoLibrariesError when another SQLite library of this process has the file open.
   * @throws TypeError, RangeError for names or payloads that cannot be stored.
   *
   * @example
   * ```ts
   * const turn = WriterLog.append(db, 'conv:demo', 'alice', 'hello world')
   * ```
   */
  static append(
    db: Backend,
    stream: string,
    writer: string,
    payload: string | Uint8Array,
    options: AppendOptions = {},
  ): Entry {
    checkNames(stream, writer)
    const bytes = toPayload('payload', payload)
    const { expectedHead } = options
    if (expectedHead !== undefined && expectedHead !== null) checkHead('expectedHead', expectedHead)
    const [entry] = appendEntries(db, { stream, writer, payloads: [bytes], expected: expectedHead })
    return entry as Entry
  }

  /**
   * Append several entries in one durable commit, all or none.
   * @throws as {@link WriterLog.append}, before anything is written.
   */
  static appendMany(
    db: Backend,
    stream: string,
    writer: string,
    payloads: Iterable<string | Uint8Array>,
    options: AppendOptions = {},
  ): Entry[] {
    checkNames(stream, writer)
    checkIterable('payloads', payloads)
    const all = Array.from(payloads, (payload, i) => toPayload(`payloads[${i}]`, payload))
    const { expectedHead } = options
    if (expectedHead !== undefined && expectedHead !== null) checkHead('expectedHead', expectedHead)
    return appendEntries(db, { stream, writer, payloads: all, expected: expectedHead })
  }

  /**
   * The entry with the highest seq; `null` for an empty log.
   * @throws MalformedRowError.
   * @throws LogRegressedError when the log ends before what this backend has acknowledged.
   */
  static head(db: Backend, stream: string, writer: string): Entry | null {
    checkNames(stream, writer)
    const row = db.query(HEAD, [stream, writer])[0]
    const head = row === undefined ? null : parseRow(stream, writer, row)
    const known = guessHead(db, stream, writer)?.acknowledged
    if (known !== undefined && known.seq > (head?.seq ?? 0n) && !db.inTransaction) {
      throw new LogRegressedError(stream, writer, known)
    }
    return head
  }

  /** The entry with this seq; `null` where there is none. @throws MalformedRowError. */
  static entry(db: Backend, stream: string, writer: string, seq: bigint): Entry | null {
    checkNames(stream, writer)
    checkInt64('seq', seq, 1n)
    const row = db.query(ONE, [stream, writer, seq])[0]
    return row === undefined ? null : parseRow(stream, writer, row)
  }

  /**
   * The entries, by ascending seq unless `reverse`. Their byte arrays may share one buffer.
   * @throws MalformedRowError.
   */
  static entries(db: Backend, stream: string, writer: string, options: ReadOptions = {}): Entry[] {
    const entries: Entry[] = []
    for (const page of pagesOf(db, stream, writer, options, true)) {
      for (const entry of entriesOf(stream, writer, page)) entries.push(entry)
    }
    return entries
  }

  /**
   * The entries one at a time, in bounded memory; no statement or lock is held between
   * them. An entry makes its byte arrays when they are first asked for.
   * @throws MalformedRowError, when it comes to the row.
   */
  static read(
    db: Backend,
    stream: string,
    writer: string,
    options: ReadOptions = {},
  ): IterableIterator<Entry> {
    const found = pagesOf(db, stream, writer, options)
    return (function* () {
      for (const page of found) {
        for (const entry of lazyEntriesOf(stream, writer, page)) yield entry
      }
    })()
  }

  /** The writers of a stream, in binary order. @throws MalformedRowError. */
  static writers(db: Backend, stream: string): string[] {
    return writersOf(db, stream)
  }

  /** The streams whose name starts with `prefix` (default: all), in binary order. */
  static streams(
    db: Backend,
    { prefix = '' }: { readonly prefix?: string | undefined } = {},
  ): string[] {
    return streamsOf(db, prefix)
  }

  /** The head of each writer of a stream, in the binary order of the writers. */
  static heads(db: Backend, stream: string): LogHead[] {
    return headsOf(db, stream)
  }

  /**
   * Recompute the chain of one log, in constant memory.
   * @returns the verified head, to be pinned or passed as `from` next time; `null` for an
   * empty log.
   * @throws ChainBrokenError naming the first seq that is missing, out of place or edited.
   * @throws MalformedRowError for a row that no writer of this format gives.
   */
  static verify(
    db: Backend,
    stream: string,
    writer: string,
    options: VerifyOptions = {},
  ): Head | null {
    checkNames(stream, writer)
    const { from = null, onProgress } = options
    if (from !== null) checkHead('from', from)
    return verifyLog(db, stream, writer, from, onProgress)
  }

  /** Verify every log of a stream. @returns their heads. @throws as {@link WriterLog.verify}. */
  static verifyStream(
    db: Backend,
    stream: string,
    options: Pick<VerifyOptions, 'onProgress'> = {},
  ): LogHead[] {
    const heads: LogHead[] = []
    for (const writer of WriterLog.writers(db, stream)) {
      const head = verifyLog(db, stream, writer, null, options.onProgress)
      if (head !== null) heads.push({ stream, writer, ...head })
    }
    return heads
  }

  /** Verify every log of the store. @returns how much there was. @throws as {@link WriterLog.verify}. */
  static verifyAll(
    db: Backend,
    options: Pick<VerifyOptions, 'onProgress'> = {},
  ): { logs: number; entries: bigint } {
    let logs = 0
    let entries = 0n
    for (const stream of WriterLog.streams(db)) {
      for (const writer of WriterLog.writers(db, stream)) {
        const head = verifyLog(db, stream, writer, null, options.onProgress)
        if (head === null) continue
        logs++
        entries += head.seq
      }
    }
    return { logs, entries }
  }

  /**
   * Verify a log and read it in the same snapshot: what is returned is what was checked.
   * @throws as {@link WriterLog.verify}; then nothing is returned.
   */
  static verifiedEntries(
    db: Backend,
    stream: string,
    writer: string,
    options: VerifyOptions = {},
  ): Entry[] {
    checkNames(stream, writer)
    const { from = null, onProgress } = options
    if (from !== null) checkHead('from', from)
    const entries: Entry[] = []
    db.snapshot(() => {
      verifyLog(db, stream, writer, from, onProgress, (page) => {
        for (const entry of entriesOf(stream, writer, page)) entries.push(entry)
      })
    })
    return entries
  }
}

function pagesOf(
  db: Backend,
  stream: string,
  writer: string,
  options: ReadOptions,
  ahead = false,
): Generator<LogPage> {
  checkNames(stream, writer)
  const { after = 0n, limit, reverse = false } = options
  checkInt64('after', after, 0n)
  if (limit !== undefined) checkCount('limit', limit, 0)
  if (after === 0n) checkOldest(db, stream, writer)
  const range: Range = { from: after + 1n, to: MAX_INT64, reverse }
  return pages(db, stream, writer, range, { limit, ahead })
}

function checkNames(stream: unknown, writer: unknown): void {
  checkText('stream', stream)
  checkText('writer', writer)
}

/** Neither a lone string, whose characters are iterable too, nor what Array.from takes for empty. */
function checkIterable(argument: string, value: unknown): void {
  if (typeof value === 'object' && value !== null && Symbol.iterator in value) return
  throw new TypeError(
    `${argument} must be an iterable of payloads, got ${typeName(value)}: ${quote(value)}`,
  )
}
