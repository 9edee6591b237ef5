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
import { MAX_INT64 } from './arguments.ts'
import type { Dialect, Value } from './backend.ts'

/** What reads pages. Parameters: stream, writer, the two bounds; what else is said. */
export interface PageSql {
  /** At most this many entries are packed into one row. */
  readonly packedEntries: number
  /** Entries with their bytes joined; on SQLite the first seq comes before the other parameters. */
  readonly packed: Readonly<Record<'ASC' | 'DESC', string>>
  /** Whole rows, at most as many as the last parameter says. */
  readonly rows: Readonly<Record<'ASC' | 'DESC', string>>
  /** The lengths of their payloads. */
  readonly sizes: Readonly<Record<'ASC' | 'DESC', string>>
  /** How the seqs from `from` to `to`, both included, are bounded. */
  bounds(from: bigint, to: bigint): [Value, Value]
}

/** A server is asked for more at a time, since each question takes a round trip. */
const PACKED_ENTRIES: Readonly<Record<Dialect, number>> = { sqlite: 512, postgres: 2_048 }

/** Marks an entry that cannot be packed, in the place of its size. */
export const UNPACKED = 0xd7ff

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
    packed: {
      // The order of the index; were it another, the distances would show it.
      ASC: sqlitePacked('seq - ?', SQLITE_RANGE),
      DESC: sqlitePacked('? - seq', ordered(SQLITE_RANGE, 'DESC')),
    },
    rows: rowsSql(COLUMNS, SQLITE_RANGE),
    sizes: rowsSql('length(payload)', SQLITE_RANGE),
    // Open: what is no whole number between two pages is met by one of them. A range up to the
    // largest seq also meets text and blobs, which sort behind all numbers.
    bounds: (from, to) => [from - 1n, to === MAX_INT64 ? BEHIND_ALL : to + 1n],
  },
  postgres: {
    packedEntries: PACKED_ENTRIES.postgres,
    packed: {
      ASC: postgresPacked('ASC'),
      DESC: postgresPacked('DESC'),
    },
    rows: rowsSql(COLUMNS, POSTGRES_RANGE),
    sizes: rowsSql('length(payload)', POSTGRES_RANGE),
    bounds: (from, to) => [from, to],
  },
}
