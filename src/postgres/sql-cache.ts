/**
 * SQL as it was read, kept by its text, and what of it cannot be run here.
 *
 * @module
 */
import { BoundedMap, checkParams, checkText, quote } from '#shared'
import type { Value } from '../index.ts'
import { isControl, isCopy, readSql, type SqlText } from './sql-text.ts'

const KEPT = 512
const MOST_PARAMETERS = 65_535

/** The SQL of one backend. */
export class SqlCache {
  readonly #texts = new BoundedMap<string, SqlText>(KEPT)

  /** @throws TypeError for SQL that controls transactions, or COPYs from or to the client. */
  read(sql: string): SqlText {
    const kept = this.#texts.get(sql)
    if (kept !== undefined) return kept
    checkText('sql', sql)
    const text = readSql(sql)
    if (isControl(text)) {
      throw new TypeError(`sql must not control transactions; use transaction() for ${quote(sql)}`)
    }
    if (isCopy(text)) {
      throw new TypeError(`sql must not COPY from or to the client, got ${quote(sql)}`)
    }
    this.#texts.set(sql, text)
    return text
  }
}

/** @throws TypeError, RangeError for parameters that are no values, or not as many as there are places. */
export function checkRow(text: SqlText, params: readonly Value[], sql: string): void {
  if (text.parameters > MOST_PARAMETERS) {
    throw new RangeError(
      `sql has ${text.parameters} parameters, and PostgreSQL takes ${MOST_PARAMETERS}; use execMany() or arrays for ${quote(sql)}`,
    )
  }
  checkParams(params, sql, text.parameters)
}
