/**
 * Reading SQL just far enough: where its placeholders are, and which word it starts with.
 *
 * The store's SQL has `?`; PostgreSQL's has `$1`. A question mark inside quotes, dollar quotes
 * or a comment is left alone; `??` stands for an operator's single `?`.
 *
 * @module
 */

/** A statement as it is sent. */
export interface SqlText {
  readonly text: string
  /** How many parameters it has. */
  readonly parameters: number
  /** Its first word in capitals: `SELECT`, `INSERT`, … */
  readonly verb: string
}

const IDENTIFIER = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y

/**
 * Replace the placeholders.
 * @throws TypeError for SQL that numbers its parameters itself (`$1`).
 */
export function readSql(sql: string): SqlText {
  let text = ''
  let copied = 0
  let parameters = 0
  let verb = ''
  let at = 0
  const replace = (length: number, by: string) => {
    text += sql.slice(copied, at) + by
    at += length
    copied = at
  }
  while (at < sql.length) {
    const here = sql[at]
    const next = sql[at + 1]
    if (here === "'") at = quoteEnd(sql, at, "'", false)
    else if (here === '"') at = quoteEnd(sql, at, '"', false)
    else if (here === '-' && next === '-') at = lineEnd(sql, at)
    else if (here === '/' && next === '*') at = commentEnd(sql, at)
    else if (here === '$') {
      const tag = match(DOLLAR_TAG, sql, at)
      if (tag !== '') {
        const end = sql.indexOf(tag, at + tag.length)
        at = end < 0 ? sql.length : end + tag.length
      } else if (next !== undefined && next >= '0' && next <= '9') {
        throw new TypeError(`sql must use ? for its parameters, found ${sql.slice(at, at + 3)}`)
      } else at++
    } else if (here === '?') {
      if (next === '?') replace(2, '?')
      else replace(1, `$${++parameters}`)
    } else {
      const word = match(IDENTIFIER, sql, at)
      if (word === '') at++
      else {
        if (verb === '') verb = word.toUpperCase()
        at += word.length
        // E'…' has backslash escapes; the other prefixes (B, X, N, U&) have not.
        if (/^e$/i.test(word) && sql[at] === "'") at = quoteEnd(sql, at, "'", true)
      }
    }
  }
  return { text: text + sql.slice(copied), parameters, verb }
}

function match(pattern: RegExp, sql: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(sql)?.[0] ?? ''
}

/** Behind the closing quote; a doubled one stands for itself. */
function quoteEnd(sql: string, start: number, quote: string, escapes: boolean): number {
  for (let at = start + 1; at < sql.length; at++) {
    if (escapes && sql[at] === '\\') at++
    else if (sql[at] === quote) {
      if (sql[at + 1] !== quote) return at + 1
      at++
    }
  }
  return sql.length
}

function lineEnd(sql: string, start: number): number {
  const end = sql.indexOf('\n', start)
  return end < 0 ? sql.length : end + 1
}

/** Comments of PostgreSQL nest. */
function commentEnd(sql: string, start: number): number {
  let depth = 0
  for (let at = start; at < sql.length; at++) {
    if (sql[at] === '/' && sql[at + 1] === '*') {
      depth++
      at++
    } else if (sql[at] === '*' && sql[at + 1] === '/') {
      depth--
      at++
      if (depth === 0) return at + 1
    }
  }
  return sql.length
}

const CONTROL = new Set([
  'BEGIN',
  'COMMIT',
  'END',
  'ROLLBACK',
  'ABORT',
  'SAVEPOINT',
  'RELEASE',
  'START',
])

/** Whether it begins or ends a transaction. */
export function isControl({ verb, text }: SqlText): boolean {
  return CONTROL.has(verb) || (verb === 'PREPARE' && /\bprepare\s+transaction\b/i.test(text))
}

const READS = new Set(['SELECT', 'VALUES', 'SHOW', 'TABLE', 'EXPLAIN', 'FETCH', 'DECLARE'])

/** Whether nothing can have been stored when its answer is lost. A function that it calls may. */
export function isRead({ verb, text }: SqlText): boolean {
  return READS.has(verb) || (verb === 'WITH' && !/\b(insert|update|delete|merge)\b/i.test(text))
}
