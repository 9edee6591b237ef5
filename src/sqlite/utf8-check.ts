/**
 * Finds stored text that is not valid UTF-8. The drivers replace such bytes by U+FFFD
 * without a word; so where a result shows U+FFFD, the same rows are read once more as
 * bytes, in step, and looked at.
 *
 * A statement that writes (`RETURNING`) cannot be read twice and is not checked.
 *
 * @module
 */
import type { Row, Value } from '../contract/backend.ts'
import { firstWord, sqlTokens } from '../shared/sql-lexer.ts'
import { decodeText } from '../shared/stored-text.ts'

const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'WITH'])
const WRITES: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'REPLACE'])

/** Watches the rows of one run of one statement. */
export class Utf8Check {
  readonly #sql: string
  readonly #open: (sql: string) => IterableIterator<Row>
  #bytes: IterableIterator<Row> | undefined
  #next = 0

  /** @param open Runs a statement with the parameters of the one that is watched. */
  constructor(sql: string, open: (sql: string) => IterableIterator<Row>) {
    this.#sql = sql
    this.#open = open
  }

  /** @throws MalformedRowError when a text of row number `index` is not UTF-8. */
  row(index: number, row: Row): void {
    if (!isSuspect(row)) return
    const bytes = this.#row(index, row.length)
    row.forEach((value, column) => {
      const stored = bytes?.[column]
      if (isSuspectText(value) && stored instanceof Uint8Array) decodeText(stored)
    })
  }

  /** Let go of the second reading. */
  end(): void {
    this.#bytes?.return?.()
    this.#bytes = undefined
  }

  #row(index: number, width: number): Row | undefined {
    if (!isRead(this.#sql)) return undefined
    this.#bytes ??= this.#open(asBytes(this.#sql, width))
    let row: Row | undefined
    while (this.#next <= index) {
      row = this.#bytes.next().value
      this.#next++
    }
    return row
  }
}

/** Whether a row shows U+FFFD, which may stand for bytes that were no UTF-8. */
export function isSuspect(row: Row): boolean {
  return row.some(isSuspectText)
}

function isSuspectText(value: Value): boolean {
  return typeof value === 'string' && value.includes('\ufffd')
}

/** Whether a statement stores nothing, so that it can be run twice. */
function isRead(sql: string): boolean {
  const verb = firstWord(sql, 'sqlite')
  if (!READS.has(verb)) return false
  // WITH alone can lead to a statement that writes.
  if (verb !== 'WITH') return true
  for (const { kind, start, end } of sqlTokens(sql, 'sqlite')) {
    if (kind === 'word' && WRITES.has(sql.slice(start, end).toUpperCase())) return false
  }
  return true
}

function asBytes(sql: string, width: number): string {
  const columns = Array.from({ length: width }, (_, i) => `c${i}`)
  return `WITH q(${columns.join()}) AS (${bodyOf(sql)}\n) SELECT ${columns.map((c) => `CAST(${c} AS BLOB)`).join()} FROM q`
}

/** The one statement of `sql`, without the semicolons around it. */
function bodyOf(sql: string): string {
  let first: number | undefined
  for (const { kind, start } of sqlTokens(sql, 'sqlite')) {
    if (kind === 'semicolon' && first !== undefined) return sql.slice(first, start)
    if (kind !== 'semicolon' && kind !== 'space' && kind !== 'comment') first ??= start
  }
  return sql.slice(first)
}
