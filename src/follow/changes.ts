/**
 * Whether anything was committed since the last look, and to which logs: one cheap statement
 * where nothing was.
 *
 * SQLite is asked for `data_version` and, as writers take turns there, for the rows behind the
 * last row seen: the rowid is the order of the commits. It is used within one process only, and
 * where the row that was last is not that row any more, nothing is concluded from it. Postgres
 * is asked for its snapshot, which is another one whenever a transaction has ended.
 *
 * @module
 */
import { MAX_INT64, sameValues } from '#shared'
import type { Backend, Dialect, Row } from '../index.ts'

/** How far a log is said to reach. */
export interface News {
  readonly stream: string
  readonly writer: string
  readonly seq: bigint
  /** The hash there, where somebody announced it who may see another store. */
  readonly contentHash?: Uint8Array
}

interface Look {
  /** Another answer than before says that something may have been committed. */
  readonly version: string
  /** Whether writers take turns, so that rowids are in the order of the commits. */
  readonly isInOrder: boolean
}

const LOOK: Readonly<Record<Dialect, Look>> = {
  // Commits of other connections, and what this one has changed.
  sqlite: {
    version: 'SELECT data_version, total_changes() FROM pragma_data_version',
    isInOrder: true,
  },
  postgres: { version: 'SELECT pg_current_snapshot()::text', isInOrder: false },
}
const LAST = `SELECT rowid, stream, writer, seq, content_hash FROM _agent_store_log
  ORDER BY rowid DESC LIMIT 1`
const SINCE = `SELECT stream, writer, max(seq) FROM _agent_store_log WHERE rowid > ?
  GROUP BY stream, writer`
const ROW_AT = `SELECT rowid, stream, writer, seq, content_hash FROM _agent_store_log
  WHERE rowid = ?`

/** What changed in one database, from look to look. */
export class Changes {
  readonly #db: Backend
  #version: string | undefined
  #last: Row | undefined

  constructor(db: Backend) {
    this.#db = db
  }

  /** Conclude nothing from earlier looks. */
  forget(): void {
    this.#version = undefined
    this.#last = undefined
  }

  /** @returns the logs that have grown since the last look; `undefined` when any may have. */
  look(): readonly News[] | undefined {
    const look = LOOK[this.#db.dialect]
    const version = this.#db.query(look.version)[0]?.join()
    if (version === this.#version) return []
    const news = look.isInOrder ? this.#rowsBehindLast() : undefined
    this.#version = version
    return news
  }

  #rowsBehindLast(): readonly News[] | undefined {
    const before = this.#last
    // First: what is committed between the statements is then found twice, and never missed.
    const last = this.#db.query(LAST)[0]
    this.#last = last
    if (before === undefined || last === undefined) return undefined
    const [rowid = null] = before
    // Once the largest rowid is in use, SQLite picks free ones at random, so they give no order.
    if (last[0] === MAX_INT64) return undefined
    const still = this.#db.query(ROW_AT, [rowid])[0]
    if (still === undefined || !sameValues(still, before)) return undefined
    const news: News[] = []
    for (const [stream, writer, seq] of this.#db.query(SINCE, [rowid])) {
      // Malformed: whoever reads that log says so.
      if (typeof stream !== 'string' || typeof writer !== 'string') return undefined
      if (typeof seq !== 'bigint') return undefined
      news.push({ stream, writer, seq })
    }
    return news
  }
}
