/**
 * Finds stored text that is not valid UTF-8. The drivers replace such bytes by U+FFFD
 * without a word; so where a result shows U+FFFD, the same rows are read once more as
 * bytes, in step, and looked at.
 *
 * A statement that writes (`RETURNING`) cannot be read twice and is not checked.
 *
 * @module
 */
import type { Row, Value } from './backend.ts'
import { MalformedRowError, quote } from './errors.ts'

const BLANK = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*`
const READS = new RegExp(`^${BLANK}(?:select|values|(with))\\b`, 'i')
const WRITES = /\b(?:insert|update|delete|replace)\b/i

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
    const reads = READS.exec(this.#sql)
    // Only WITH can lead to a statement that writes.
    if (reads === null || (reads[1] !== undefined && WRITES.test(this.#sql))) return undefined
    this.#bytes ??= this.#open(asBytes(this.#sql, width))
    let row: Row | undefined
    while (this.#next <= index) {
      row = this.#bytes.next().value
      this.#next++
    }
    return row
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Stored bytes as text. @throws MalformedRowError when they are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new MalformedRowError(
      `stored text is not valid UTF-8: ${quote(Buffer.from(bytes).toString('latin1'))}`,
      { cause },
    )
  }
}

/** Whether a row shows U+FFFD, which may stand for bytes that were no UTF-8. */
export function isSuspect(row: Row): boolean {
  return row.some(isSuspectText)
}

function isSuspectText(value: Value): boolean {
  return typeof value === 'string' && value.includes('\ufffd')
}

function asBytes(sql: string, width: number): string {
  const columns = Array.from({ length: width }, (_, i) => `c${i}`)
  // A comment may end the statement, and a semicolon before it.
  const body = sql.replace(/;(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*$/, '')
  return `WITH q(${columns.join()}) AS (${body}\n) SELECT ${columns.map((c) => `CAST(${c} AS BLOB)`).join()} FROM q`
}
