/**
 * The selection of a search as a condition on PostgreSQL.
 *
 * The logs are named by their ids: a join, or a query inside of the one that searches, would make
 * the planner guess how many entries are left.
 *
 * @module
 */
import type { Backend, Value } from '../../index.ts'
import type { Selected } from '../selection.ts'

/** A condition on `log` and `seq` of the table `e`. */
export interface PostgresFilter {
  readonly sql: string
  readonly params: readonly Value[]
  /** How many entries it leaves at most. */
  readonly most: number
}

/** The condition on the index whose tables begin with `name`. */
export function toFilter(db: Backend, name: string, selected: Selected): PostgresFilter {
  if (selected.isAll) return { sql: 'true', params: [], most: Number.POSITIVE_INFINITY }
  const { fromSeq, toSeq } = selected
  const logs = db.query(
    `SELECT l.id, greatest(least(l.seq, ?) - ? + 1, 0) FROM ${name}_log AS l
      WHERE true${selected.logs}`,
    [toSeq, fromSeq, ...selected.logParams],
  )
  const ids = `{${logs.map(([id]) => String(id)).join()}}`
  const range = selected.hasRange ? ' AND e.seq >= ? AND e.seq <= ?' : ''
  return {
    sql: `e.log = ANY (?::bigint[])${range}`,
    params: selected.hasRange ? [ids, fromSeq, toSeq] : [ids],
    most: logs.reduce((sum, [, count]) => sum + Number(count), 0),
  }
}
