/**
 * A consumer: a named cursor that is kept in the store it reads.
 *
 * Moved in the same transaction as the rows that the consumer makes of an entry, it makes each
 * entry count exactly once, whenever the process is killed. It moves from where the caller
 * takes it to be, or not at all, so that two processes of one name cannot both count an entry.
 *
 * @module
 */
import { CURSOR, checkText, ensureTable, quote } from '#shared'
import { type Backend, type Entry, type Head, type LogHead, MalformedRowError } from '../index.ts'
import { StaleCursorError } from './errors.ts'

const WHERE = 'WHERE consumer = ? AND stream = ? AND writer = ?'
const ALL = `SELECT stream, writer, seq, content_hash FROM _agent_store_cursor
  WHERE consumer = ? ORDER BY stream, writer`
const INSERT = `INSERT INTO _agent_store_cursor (consumer, stream, writer, seq, content_hash)
  VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
const MOVE = `UPDATE _agent_store_cursor SET seq = ?, content_hash = ?
  ${WHERE} AND seq = ? AND content_hash = ?`
const DELETE = 'DELETE FROM _agent_store_cursor WHERE consumer = ?'

/**
 * A named cursor.
 *
 * @example
 * ```ts
 * Consumer.ensureSchema(db)
 * const billing = new Consumer('billing')
 * for await (const turn of follow(db, { stream: 'conv:demo', after: billing })) {
 *   db.transaction(() => {
 *     db.exec('INSERT INTO bill VALUES (?, ?)', [turn.writer, turn.seq])
 *     billing.advance(db, turn)
 *   })
 * }
 * ```
 */
export class Consumer {
  readonly name: string

  /** @throws TypeError for a name that cannot be stored. */
  constructor(name: string) {
    checkText('name', name)
    this.name = name
  }

  /**
   * Create the table of the cursors where it is missing. Idempotent.
   * @throws SchemaError when another table has its name.
   */
  static ensureSchema(db: Backend): void {
    ensureTable(db, CURSOR)
  }

  /** How far it has come, in each log; empty at first. @throws MalformedRowError. */
  cursor(db: Backend): LogHead[] {
    return db.query(ALL, [this.name]).map(([stream, writer, seq, contentHash]) => {
      if (
        typeof stream === 'string' &&
        typeof writer === 'string' &&
        typeof seq === 'bigint' &&
        contentHash instanceof Uint8Array &&
        contentHash.length === 32
      ) {
        return { stream, writer, seq, contentHash }
      }
      throw new MalformedRowError(
        `the cursor of consumer ${quote(this.name)} holds ${quote(stream)}, ${quote(writer)}, ${quote(seq)}, ${quote(contentHash)}; reset it`,
      )
    })
  }

  /**
   * Move past `entry`. One statement; call it in the transaction that stores what was made
   * of the entry.
   * @param from Where the cursor is taken to be: for a caller that has processed several entries of the
   * log. Default: the entry before.
   * @throws StaleCursorError when it is not there; nothing is moved.
   */
  advance(db: Backend, entry: Entry, from: Head | null = previousOf(entry)): void {
    const { stream, writer, seq, contentHash } = entry
    const moved =
      from === null
        ? db.exec(INSERT, [this.name, stream, writer, seq, contentHash])
        : db.exec(MOVE, [seq, contentHash, this.name, stream, writer, from.seq, from.contentHash])
    if (moved !== 1) throw new StaleCursorError(this.name, stream, writer, from)
  }

  /**
   * Put the cursor somewhere else, as a whole: `[]` for the beginning, or heads that were
   * read, or what {@link Consumer.cursor} gave. All or none.
   */
  reset(db: Backend, cursor: readonly LogHead[]): void {
    db.transaction(() => {
      db.exec(DELETE, [this.name])
      for (const { stream, writer, seq, contentHash } of cursor) {
        db.exec(INSERT, [this.name, stream, writer, seq, contentHash])
      }
    })
  }
}

function previousOf({ seq, prevHash }: Entry): Head | null {
  return prevHash === null ? null : { seq: seq - 1n, contentHash: prevHash }
}
