/**
 * How many parameters a statement of SQLite has. The driver built into Node does not say, and
 * binds NULL for those that are not given.
 *
 * @module
 */
import { sqlTokens } from '../shared/sql-lexer.ts'

/** The number of `?` in `sql`; `undefined` where parameters are numbered or named. */
export function parametersOf(sql: string): number | undefined {
  let count = 0
  for (const { kind, start, end } of sqlTokens(sql, 'sqlite')) {
    if (kind !== 'parameter') continue
    if (end - start > 1) return undefined
    count++
  }
  return count
}
