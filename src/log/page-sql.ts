/**
 * The statements that read pages of a log, in each dialect.
 *
 * On SQLite a packed page is one row: a string of two characters for each entry, and a blob with
 * its `content_hash`, `prev_hash` and payload. The characters carry numbers cheaply: how far its
 * seq lies from the first one, which shows order and gaps, and the length of its payload plus one
 * (a NUL would be cut), or the mark of an entry that does not fit.
 *
 * On Postgres it is a row for each entry, with its seq and those bytes, or NULL for one that does
 * not fit: a cell costs less there than joining does.
 *
 * @module
 */
import { MAX_INT64 } from '../contract/arguments.ts'
import type { Backend, Dialect, Row, Value } from '../contract/backend.ts'
import { cutRow, joinRows, type PackedPage, UNPACKED } from './packed-page.ts'

/** Statements that read pages. Parameters: stream, writer, the two bounds; others are named. */
export interface PageSql {
  /** At most this many entries are packed into one row. */
  readonly packedEntries: number
  /** Whether this database can pack. */
  isPackable(db: Backend): boolean
  /** Entries with their bytes joined; its parameters are those of {@link PageSql.packedParams}. */
  readonly packed: Readonly<Record<'ASC' | 'DESC', string>>
  /** @param where Stream, writer and the two bounds. */
  packedParams(firstSeq: bigint, where: readonly Value[]): readonly Value[]
  /** Returns the rows of {@link PageSql.packed} as a page. */
  toPage(rows: readonly Row[], firstSeq: bigint, step: 1n | -1n): PackedPage
  /** Whole rows, at most as many as the last parameter says. */
  readonly rows: Readonly<Record<'ASC' | 'DESC', string>>
  /** The lengths of their payloads. */
  readonly sizes: Readonly<Record<'ASC' | 'DESC', string>>
  /** How the seqs from `from` to `to`, both included, are bounded. */
  bounds(from: bigint, to: bigint): [Value, Value]
}

/** A server is asked for more at a time, since each question takes a round trip. */
const PACKED_ENTRIES: Readonly<Record<Dialect, number>> = { sqlite: 512, postgres: 2_048 }

/** Larger payloads are not packed: 512 of them are 8 MiB. */
const PACKED_PAYLOAD_BYTES = 16_384

const COLUMNS = 'seq, prev_hash, content_hash, payload'
const SQLITE_RANGE = '_agent_store_log WHERE stream = ? AND writer = ? AND seq > ? AND seq < ?'
const POSTGRES_RANGE = '_agent_store_log WHERE stream = ? AND writer = ? AND seq >= ? AND seq <= ?'

function rowsSql(columns: string, range: string): PageSql['rows'] {
  return {
    ASC: `SELECT ${columns} FROM ${range} ORDER BY seq ASC LIMIT ?`,
    DESC: `SELECT ${columns} FROM ${range} ORDER BY seq DESC LIMIT ?`,
  }
}

const ordered = (range: string, order: string) =>
  `(SELECT ${COLUMNS} FROM ${range} ORDER BY seq ${order} LIMIT ${PACKED_ENTRIES.sqlite}) AS page`

/**
 * SQLite tells types by operators, which cost less than functions: every blob, and nothing
 * else, sorts at or behind the empty blob; only an integer equals itself in `| 0`.
 */
function sqlitePacked(distance: string, source: string): string {
  return `SELECT group_concat(char(${distance} + 1, CASE
      WHEN (seq | 0) = seq AND payload >= x'' AND length(payload) <= ${PACKED_PAYLOAD_BYTES}
        AND content_hash >= x'' AND length(content_hash) = 32
        AND CASE WHEN seq = 1 THEN prev_hash IS NULL ELSE prev_hash >= x'' AND length(prev_hash) = 32 END
      THEN length(payload) + 1 ELSE ${UNPACKED} END), ''),
    CAST(group_concat(iif(length(payload) <= ${PACKED_PAYLOAD_BYTES}, content_hash || coalesce(prev_hash, x'') || payload, NULL), '') AS BLOB)
  FROM ${source}`
}

/** Postgres keeps the types by itself. */
const postgresPacked = (order: string) => `SELECT seq, CASE
    WHEN length(payload) <= ${PACKED_PAYLOAD_BYTES} AND length(content_hash) = 32
      AND CASE WHEN seq = 1 THEN prev_hash IS NULL ELSE length(prev_hash) = 32 END
    THEN content_hash || coalesce(prev_hash, '') || payload END
  FROM ${POSTGRES_RANGE} ORDER BY seq ${order} LIMIT ${PACKED_ENTRIES.postgres}`

/** Sorts behind every number and text, and every blob that does not start like it. */
const BEHIND_ALL = new Uint8Array(64).fill(0xff)

/** The statements of each dialect. */
export const PAGE_SQL: Readonly<Record<Dialect, PageSql>> = {
  sqlite: {
    packedEntries: PACKED_ENTRIES.sqlite,
    isPackable: isUtf8,
    packedParams: (firstSeq, where) => [firstSeq, ...where],
    toPage: ([row], firstSeq, step) => cutRow(row, firstSeq, step),
    packed: {
      // No ORDER BY: SQLite scans the index in the order of seq. If it did not, the packed distances
      // would show it, and the page would be read row by row.
      ASC: sqlitePacked('seq - ?', SQLITE_RANGE),
      DESC: sqlitePacked('? - seq', ordered(SQLITE_RANGE, 'DESC')),
    },
    rows: rowsSql(COLUMNS, SQLITE_RANGE),
    sizes: rowsSql('length(payload)', SQLITE_RANGE),
    // Exclusive bounds, so that a seq that is no whole number still falls into one of two pages and
    // is reported. A range up to the largest seq also meets text and blobs, which sort behind all
    // numbers.
    bounds: (from, to) => [from - 1n, to === MAX_INT64 ? BEHIND_ALL : to + 1n],
  },
  postgres: {
    packedEntries: PACKED_ENTRIES.postgres,
    isPackable: () => true,
    packedParams: (_firstSeq, where) => where,
    toPage: joinRows,
    packed: {
      ASC: postgresPacked('ASC'),
      DESC: postgresPacked('DESC'),
    },
    rows: rowsSql(COLUMNS, POSTGRES_RANGE),
    sizes: rowsSql('length(payload)', POSTGRES_RANGE),
    bounds: (from, to) => [from, to],
  },
}

const utf8 = new WeakMap<Backend, boolean>()

/** SQLite packs by joining blobs as text, which leaves bytes alone only in UTF-8. */
function isUtf8(db: Backend): boolean {
  let known = utf8.get(db)
  if (known === undefined) {
    known = db.query('PRAGMA encoding')[0]?.[0] === 'UTF-8'
    utf8.set(db, known)
  }
  return known
}
