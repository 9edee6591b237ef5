/**
 * Reading a log page by page, as fast as a JavaScript program can take rows from SQL.
 *
 * Making a JavaScript value for each cell costs more than SQLite's own step, so up to
 * 512 small entries are packed by SQL into two blobs and cut apart here. Whatever does
 * not fit that (a large payload, a gap, a malformed row) is read row by row. Pages are
 * found by sequence number, so no statement stays open between them, and their size is
 * bounded, so memory is too.
 *
 * @module
 */
import { MAX_INT64 } from './arguments.ts'
import type { Backend, Row, Value } from './backend.ts'

/** Entries in the shape in which SQL packed them, in reading order, without a gap. */
export interface PackedPage {
  readonly kind: 'packed'
  readonly firstSeq: bigint
  /** 1n, or -1n when reading backwards. */
  readonly step: 1n | -1n
  readonly count: number
  /** What is hashed for each entry: its `prev_hash` (but for seq 1) and its payload. */
  readonly inputs: Uint8Array
  /** The length of each input, in bytes. */
  readonly inputLengths: Uint32Array
  readonly contentHashes: Uint8Array
}

/** Rows of (seq, prev_hash, content_hash, payload), as found. */
export interface RowPage {
  readonly kind: 'rows'
  readonly rows: readonly Row[]
}

/** Some entries of a log. */
export type LogPage = PackedPage | RowPage

/** Which entries: `from` to `to`, both included. */
export interface Range {
  readonly from: bigint
  readonly to: bigint
  /** From `to` down to `from`. */
  readonly reverse?: boolean | undefined
}

/** Larger payloads are not packed: at 512 of them a page has 8 MiB. */
const PACKED_PAYLOAD_BYTES = 16_384
const PACKED_ENTRIES = 512
const ROW_PAGE_BYTES = 4 * 1024 * 1024
const ROW_PAGE_ENTRIES = 64

/** Marks an entry that cannot be packed, in the place of its size. */
const UNPACKED = 0xd7ff

/**
 * One row with a page's entries: a string of two characters for each, and two blobs. The
 * characters carry numbers cheaply: how far its seq lies from the first one, which shows
 * order and gaps, and the length of its payload plus one (a NUL would be cut), or the mark.
 *
 * Types are told by operators, which cost less than functions: every blob, and nothing else,
 * sorts at or behind the empty blob; only an integer equals itself in `| 0`.
 */
function packedSql(distance: string, source: string): string {
  return `SELECT group_concat(char(${distance} + 1, CASE
      WHEN (seq | 0) = seq AND payload >= x'' AND length(payload) <= ${PACKED_PAYLOAD_BYTES}
        AND content_hash >= x'' AND length(content_hash) = 32
        AND CASE WHEN seq = 1 THEN prev_hash IS NULL ELSE prev_hash >= x'' AND length(prev_hash) = 32 END
      THEN length(payload) + 1 ELSE ${UNPACKED} END), ''),
    CAST(group_concat(iif(length(payload) <= ${PACKED_PAYLOAD_BYTES}, coalesce(prev_hash, x'') || payload, NULL), '') AS BLOB),
    CAST(group_concat(content_hash, '') AS BLOB)
  FROM ${source}`
}

const PACKED_RANGE = '_agent_store_log WHERE stream = ? AND writer = ? AND seq > ? AND seq < ?'
// The order of the index; were it another, the distances would show it.
const PACKED = packedSql('seq - ?', PACKED_RANGE)
const PACKED_REVERSE = packedSql(
  '? - seq',
  `(SELECT seq, prev_hash, content_hash, payload FROM ${PACKED_RANGE} ORDER BY seq DESC LIMIT ${PACKED_ENTRIES})`,
)

/**
 * The open bounds of a range: what is no whole number between two pages is met by one of
 * them. A range up to the largest seq also meets text and blobs, which sort behind all numbers.
 */
function bounds({ from, to }: Range): [Value, Value] {
  return [from - 1n, to === MAX_INT64 ? BEHIND_ALL : to + 1n]
}

/** Sorts behind every number and text, and every blob that does not start like it. */
const BEHIND_ALL = new Uint8Array(64).fill(0xff)

const COLUMNS = 'seq, prev_hash, content_hash, payload'
const rowsSql = (columns: string, order: string) =>
  `SELECT ${columns} FROM _agent_store_log
   WHERE stream = ? AND writer = ? AND seq > ? AND seq < ? ORDER BY seq ${order} LIMIT ?`
const ROWS = { ASC: rowsSql(COLUMNS, 'ASC'), DESC: rowsSql(COLUMNS, 'DESC') }
const SIZES = { ASC: rowsSql('length(payload)', 'ASC'), DESC: rowsSql('length(payload)', 'DESC') }

/** The pages of a log's `range`, in reading order, at most `limit` entries together. */
export function* pages(
  db: Backend,
  stream: string,
  writer: string,
  range: Range,
  limit: number = Number.POSITIVE_INFINITY,
): Generator<LogPage> {
  let { from, to } = range
  const reverse = range.reverse === true
  let left = limit
  /** Entries still to be read row by row before packing is tried again. */
  let unpacked = isPackable(db) ? 0 : Number.POSITIVE_INFINITY
  while (left > 0 && from <= to) {
    const wanted = Math.min(left, PACKED_ENTRIES)
    let page: LogPage
    let last: bigint
    if (unpacked <= 0) {
      page = packedPage(db, stream, writer, near(from, to, reverse, wanted), reverse)
      unpacked = wanted - page.count
      if (page.count === 0) continue
      left -= page.count
      last = page.firstSeq + page.step * BigInt(page.count - 1)
    } else {
      page = rowPage(db, stream, writer, { from, to, reverse }, Math.min(wanted, unpacked))
      const found = page.rows.length
      if (found === 0) return
      left -= found
      unpacked -= found
      const seq = page.rows[found - 1]?.[0]
      if (typeof seq !== 'bigint') {
        yield page // whoever parses it names the row; there is no way past it
        return
      }
      last = seq
    }
    if (reverse) to = last - 1n
    else from = last + 1n
    yield page
  }
}

/** At most `limit` entries row by row, or fewer where their payloads are large. */
export function rowPage(
  db: Backend,
  stream: string,
  writer: string,
  { from, to, reverse }: Range,
  limit: number,
): RowPage {
  const order = reverse === true ? 'DESC' : 'ASC'
  const most = BigInt(Math.min(limit, ROW_PAGE_ENTRIES))
  let count = 0n
  let bytes = 0
  for (const [size] of db.query(SIZES[order], [stream, writer, ...bounds({ from, to }), most])) {
    bytes += Number(size)
    if (bytes > ROW_PAGE_BYTES && count > 0n) break
    count++
  }
  if (count === 0n) return { kind: 'rows', rows: [] }
  return {
    kind: 'rows',
    rows: db.query(ROWS[order], [stream, writer, ...bounds({ from, to }), count]),
  }
}

/** The end of the range that is read first. Bounded, so that a mismatch costs one page. */
function near(from: bigint, to: bigint, reverse: boolean, count: number): Range {
  const span = BigInt(count - 1)
  if (to - from <= span) return { from, to }
  return reverse ? { from: to - span, to } : { from, to: from + span }
}

function packedPage(
  db: Backend,
  stream: string,
  writer: string,
  { from, to }: Range,
  reverse: boolean,
): PackedPage {
  const firstSeq = reverse ? to : from
  const step = reverse ? -1n : 1n
  const row = db.query(reverse ? PACKED_REVERSE : PACKED, [
    firstSeq,
    stream,
    writer,
    ...bounds({ from, to }),
  ])[0]
  const [marks, inputs, contentHashes] = row ?? []
  const found = typeof marks === 'string' ? marks : ''
  const inputLengths = new Uint32Array(found.length / 2)
  const genesis = genesisIndex(firstSeq, step)
  let count = 0
  let inputBytes = 0
  for (; count < inputLengths.length; count++) {
    const size = found.charCodeAt(2 * count + 1)
    if (size === UNPACKED || found.charCodeAt(2 * count) !== count + 1) break
    const length = size - 1 + (count === genesis ? 0 : 32)
    inputLengths[count] = length
    inputBytes += length
  }
  return {
    kind: 'packed',
    firstSeq,
    step,
    count,
    // Up to the first entry that did not fit; what lies behind it is not aligned any more.
    inputs: toBytes(inputs).subarray(0, inputBytes),
    inputLengths: inputLengths.subarray(0, count),
    contentHashes: toBytes(contentHashes).subarray(0, count * 32),
  }
}

/** Which entry of a page has seq 1, and so no previous hash; `Infinity` for none. */
export function genesisIndex(firstSeq: bigint, step: bigint): number {
  const index = Number((1n - firstSeq) * step)
  return index >= 0 ? index : Number.POSITIVE_INFINITY
}

function toBytes(value: Value | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}

const packable = new WeakMap<Backend, boolean>()

/** Packing joins blobs as text, which leaves bytes alone only in UTF-8. */
function isPackable(db: Backend): boolean {
  let known = packable.get(db)
  if (known === undefined) {
    known = db.query('PRAGMA encoding')[0]?.[0] === 'UTF-8'
    packable.set(db, known)
  }
  return known
}
