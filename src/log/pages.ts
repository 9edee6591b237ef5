/**
 * Reading a log page by page, as fast as a JavaScript program can take rows from SQL.
 *
 * Making a JavaScript value for each cell costs more than SQLite's own step, so up to
 * 512 small entries are packed by SQL into one blob and cut apart here. Whatever does
 * not fit that (a large payload, a gap, a malformed row) is read row by row. Pages are
 * found by sequence number, so no statement stays open between them, and their size is
 * bounded, so memory is too.
 *
 * @module
 */
import type { Backend, Row, Value } from '../contract/backend.ts'
import type { PackedPage } from './packed-page.ts'
import { PAGE_SQL } from './page-sql.ts'

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

const ROW_PAGE_BYTES = 4 * 1024 * 1024
const ROW_PAGE_ENTRIES = 64

/** How to read pages. */
interface PageOptions {
  /** At most so many entries together. Default: all. */
  readonly limit?: number | undefined
  /** Nothing else is asked of the database between two pages, so the next may be begun early. */
  readonly ahead?: boolean
}

/** The pages of a log's `range`, in reading order. */
export function* pages(
  db: Backend,
  stream: string,
  writer: string,
  range: Range,
  { limit = Number.POSITIVE_INFINITY, ahead = false }: PageOptions = {},
): Generator<LogPage> {
  let { from, to } = range
  const reverse = range.reverse === true
  const { packedEntries, isPackable } = PAGE_SQL[db.dialect]
  let left = limit
  /** Entries still to be read row by row before packing is tried again. */
  let unpacked = isPackable(db) ? 0 : Number.POSITIVE_INFINITY
  while (left > 0 && from <= to) {
    const wanted = Math.min(left, packedEntries)
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
    if (ahead && unpacked <= 0 && left > 0 && from <= to) {
      const next = near(from, to, reverse, Math.min(left, packedEntries))
      db.ahead?.(...packedQuery(db, stream, writer, next, reverse))
    }
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
  const { bounds, ...sql } = PAGE_SQL[db.dialect]
  const order = reverse === true ? 'DESC' : 'ASC'
  const most = BigInt(Math.min(limit, ROW_PAGE_ENTRIES))
  let count = 0n
  let bytes = 0
  for (const [size] of db.query(sql.sizes[order], [stream, writer, ...bounds(from, to), most])) {
    bytes += Number(size)
    if (bytes > ROW_PAGE_BYTES && count > 0n) break
    count++
  }
  if (count === 0n) return { kind: 'rows', rows: [] }
  return {
    kind: 'rows',
    rows: db.query(sql.rows[order], [stream, writer, ...bounds(from, to), count]),
  }
}

/** The end of the range that is read first. Bounded, so that a mismatch costs one page. */
function near(from: bigint, to: bigint, reverse: boolean, count: number): Range {
  const span = BigInt(count - 1)
  if (to - from <= span) return { from, to }
  return reverse ? { from: to - span, to } : { from, to: from + span }
}

function packedQuery(
  db: Backend,
  stream: string,
  writer: string,
  { from, to }: Range,
  reverse: boolean,
): [sql: string, params: readonly Value[]] {
  const { packed, packedParams, bounds } = PAGE_SQL[db.dialect]
  const where = [stream, writer, ...bounds(from, to)]
  return [packed[reverse ? 'DESC' : 'ASC'], packedParams(reverse ? to : from, where)]
}

function packedPage(
  db: Backend,
  stream: string,
  writer: string,
  range: Range,
  reverse: boolean,
): PackedPage {
  const rows = db.query(...packedQuery(db, stream, writer, range, reverse))
  const firstSeq = reverse ? range.to : range.from
  const step = reverse ? -1n : 1n
  return PAGE_SQL[db.dialect].toPage(rows, firstSeq, step)
}
