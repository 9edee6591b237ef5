/**
 * Which logs there are: streams, writers of a stream, and how far each reaches.
 *
 * @module
 */
import { checkBytes, checkText } from '../contract/arguments.ts'
import type { Backend, Dialect, Row, Value } from '../contract/backend.ts'
import type { LogHead } from '../contract/entry.ts'
import { MalformedRowError, quote } from '../contract/errors.ts'
import { parseHead } from '../shared/head.ts'
import { decodeText } from '../shared/stored-text.ts'

// Each walks the index from name to name: the cost is that of the names, not of the entries.
// An empty prefix is any stream's; SQL would compare it with NULL.
interface NamesSql {
  /** Parameters: the prefix, then twice (its length in bytes, the same, its bytes). */
  readonly streams: string
  /** Parameters: the stream, twice. */
  readonly writers: string
  /** Parameters: the stream, four times. */
  readonly heads: string
  /**
   * Runs a statement that may give many rows. Ten thousand rows at once are 14 MB on SQLite; a
   * server would be asked once more for each page.
   */
  run(db: Backend, sql: string, params: readonly Value[]): Iterable<Row>
}

/** @param stored Gives a name's bytes and what it is stored as. */
function namesSql(bytes: string, stored: string): Omit<NamesSql, 'run'> {
  const hasPrefix = `name IS NOT NULL AND (? = 0 OR substr(${bytes}, 1, CAST(? AS INTEGER)) = ?)`
  const writers = `WITH RECURSIVE names(name) AS (
    SELECT min(writer) FROM _agent_store_log WHERE stream = ?
    UNION ALL
    SELECT (SELECT min(writer) FROM _agent_store_log WHERE stream = ? AND writer > name) FROM names
    WHERE name IS NOT NULL)`
  return {
    streams: `WITH RECURSIVE names(name) AS (
    SELECT min(stream) FROM _agent_store_log WHERE stream >= ?
    UNION ALL
    SELECT (SELECT min(stream) FROM _agent_store_log WHERE stream > name) FROM names
    WHERE ${hasPrefix})
  SELECT ${stored} FROM names WHERE ${hasPrefix}`,
    writers: `${writers} SELECT ${stored} FROM names WHERE name IS NOT NULL`,
    heads: `${writers} SELECT ${stored}, seq, content_hash
  FROM names JOIN _agent_store_log ON stream = ? AND writer = name
    AND seq = (SELECT max(seq) FROM _agent_store_log WHERE stream = ? AND writer = name)
  ORDER BY name`,
  }
}

const SQL: Readonly<Record<Dialect, NamesSql>> = {
  sqlite: {
    ...namesSql('CAST(name AS BLOB)', 'CAST(name AS BLOB), typeof(name)'),
    run: (db, sql, params) => db.iterate(sql, params),
  },
  postgres: {
    ...namesSql("convert_to(name, 'UTF8')", "convert_to(name, 'UTF8'), 'text'"),
    run: (db, sql, params) => db.query(sql, params),
  },
}

/** See `WriterLog.writers`. */
export function writersOf(db: Backend, stream: string): string[] {
  checkText('stream', stream)
  const { writers, run } = SQL[db.dialect]
  return Array.from(run(db, writers, [stream, stream]), ([name, type]) => toName(name, type))
}

/** See `WriterLog.streams`. */
export function streamsOf(db: Backend, prefix: string): string[] {
  checkText('prefix', prefix)
  const start = new Uint8Array(Buffer.from(prefix))
  const length = BigInt(start.length)
  const hasPrefix = [length, length, start]
  return db
    .query(SQL[db.dialect].streams, [prefix, ...hasPrefix, ...hasPrefix])
    .map(([name, type]) => toName(name, type))
}

/** See `WriterLog.heads`. */
export function headsOf(db: Backend, stream: string): LogHead[] {
  checkText('stream', stream)
  return db
    .query(SQL[db.dialect].heads, [stream, stream, stream, stream])
    .map(([name, type, seq, contentHash]) => {
      const writer = toName(name, type)
      return { stream, writer, ...parseHead({ stream, writer }, seq, contentHash) }
    })
}

function toName(stored: unknown, type: unknown): string {
  checkBytes('name', stored)
  const name = decodeText(stored)
  if (type === 'text' && !name.includes('\0')) return name
  throw new MalformedRowError(
    `a stream or writer must be stored as text without NUL, found ${String(type)} ${quote(name)}`,
  )
}
