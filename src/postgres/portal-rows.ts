/**
 * The rows of one statement a page at a time, in bounded memory: a portal of the server.
 *
 * A portal lives in a transaction. Outside of one the iteration is one by itself, and the session
 * does nothing else until it is finished or returned from.
 *
 * @module
 */
import type { Row, Value } from '../index.ts'
import type { LastingSession } from './lasting-session.ts'
import { isStaleRefusal } from './lost-answer.ts'
import type { Statement } from './protocol/statement.ts'
import { isRead, type SqlText } from './sql-text.ts'

/** Rows that are asked for at a time. */
const PAGE_ROWS = 500

/** What is iterated over. */
export interface Iteration {
  readonly sql: string
  readonly text: SqlText
  readonly params: readonly Value[]
  /** The portal's name, which no other has in the transaction. */
  readonly portal: string
}

/** Begins to run at the first row that is asked for. */
export function* portalRows(session: LastingSession, iteration: Iteration): Generator<Row> {
  const { sql, text, params, portal } = iteration
  const connection = session.usable()
  const own = connection.status === 'I'
  if (own) {
    session.control('BEGIN')
    session.iteration = sql
  }
  let finished = false
  try {
    const open = () =>
      session.call(false, () => {
        const statement = connection.prepare(text.text, params, text.vectors)
        connection.openPortal(portal, statement, params)
        return statement
      })
    let kinds: Statement['kinds']
    try {
      kinds = open().kinds
    } catch (error) {
      if (!own || !isStaleRefusal(error)) throw error
      // Nothing has run yet: once more, from the start.
      session.control('ROLLBACK')
      session.control('BEGIN')
      kinds = open().kinds
    }
    for (let done = false; !done; ) {
      const page = session.call(false, () => connection.fetch(portal, kinds ?? [], PAGE_ROWS))
      done = page.done
      for (const row of page.rows) {
        yield row
        session.assertOpen()
      }
    }
    finished = true
  } finally {
    session.iteration = undefined
    if (!session.isClosed && connection.lost === undefined && connection.status !== 'I') {
      if (!own && !finished && connection.status === 'T') {
        session.call(false, () => connection.closePortal(portal))
      }
      if (own) session.control(connection.status === 'T' ? 'COMMIT' : 'ROLLBACK', !isRead(text))
    }
  }
}
