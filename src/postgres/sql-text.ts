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
  /**
   * Which of them, from 0, the SQL casts in place to a type of pgvector (`?::vector`): their bytes
   * are sent as that type's own binary form, which no cast from bytea would do.
   */
  readonly vectors: ReadonlySet<number>
  /** Its first word in capitals: `SELECT`, `INSERT`, … */
  readonly verb: string
  /** All its words in capitals, those in quotes and comments left out. */
  readonly words: ReadonlySet<string>
}

const WORD = /[A-Za-z0-9_$\u0080-\uffff]/
const IDENTIFIER = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
/** After an escape string, what another one of its kind may follow. */
const CONTINUED = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*(?=')/y
/** What follows a placeholder that is a vector; its schema may be named. */
const VECTOR_CAST =
  /\s*::\s*(?:(?:"[^"]*"|[A-Za-z_][A-Za-z0-9_$]*)\s*\.\s*)?(?:vector|halfvec|sparsevec)(?![A-Za-z0-9_$])/y
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y

/**
 * Replace the placeholders.
 * @throws TypeError for SQL that numbers its parameters itself (`$1`).
 */
export function readSql(sql: string): SqlText {
  let text = ''
  let copied = 0
  let parameters = 0
  const words = new Set<string>()
  const vectors = new Set<number>()
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
      } else if (isDigit(next)) refuseNumber(sql, at)
      else at++
    } else if (here === '?') {
      if (next === '?') replace(2, '?')
      else if (isDigit(next)) refuseNumber(sql, at)
      else {
        // It must not grow together with a word beside it.
        if (match(VECTOR_CAST, sql, at + 1) !== '') vectors.add(parameters)
        const [before, after] = [sql[at - 1], next].map((c) => (WORD.test(c ?? '') ? ' ' : ''))
        replace(1, `${before}$${++parameters}${after}`)
      }
    } else {
      const word = match(IDENTIFIER, sql, at)
      if (word === '') at++
      else {
        words.add(word.toUpperCase())
        at += word.length
        // E'…' has backslash escapes; the other prefixes (B, X, N, U&) have not.
        if (/^e$/i.test(word) && sql[at] === "'") at = escapesEnd(sql, at)
      }
    }
  }
  const [verb = ''] = words
  return { text: text + sql.slice(copied), parameters, vectors, verb, words }
}

function isDigit(letter: string | undefined): boolean {
  return letter !== undefined && letter >= '0' && letter <= '9'
}

function refuseNumber(sql: string, at: number): never {
  throw new TypeError(`sql must use ? for its parameters, found ${sql.slice(at, at + 3)}`)
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

/** Behind an escape string and those on the next lines that continue it. */
function escapesEnd(sql: string, start: number): number {
  let at = quoteEnd(sql, start, "'", true)
  for (let gap = match(CONTINUED, sql, at); gap !== ''; gap = match(CONTINUED, sql, at)) {
    at = quoteEnd(sql, at + gap.length, "'", true)
  }
  return at
}

function lineEnd(sql: string, start: number): number {
  for (let at = start; at < sql.length; at++) {
    if (sql[at] === '\n' || sql[at] === '\r') return at + 1
  }
  return sql.length
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
export function isControl({ verb, words }: SqlText): boolean {
  const [, second] = words
  return CONTROL.has(verb) || (verb === 'PREPARE' && second === 'TRANSACTION')
}

/** Whether it moves rows by a protocol of its own, which is not spoken here. */
export function isCopy({ verb, words }: SqlText): boolean {
  return verb === 'COPY' && (words.has('STDIN') || words.has('STDOUT'))
}

const READS = new Set(['SELECT', 'VALUES', 'SHOW', 'TABLE', 'EXPLAIN', 'FETCH', 'DECLARE', 'WITH'])
const WRITES = ['INSERT', 'UPDATE', 'DELETE', 'MERGE']

/** Whether nothing can have been stored when its answer is lost. A function that it calls may. */
export function isRead({ verb, words }: SqlText): boolean {
  if (!READS.has(verb)) return false
  const has = (...some: readonly string[]) => some.some((word) => words.has(word))
  switch (verb) {
    case 'EXPLAIN':
      return !(has('ANALYZE', 'ANALYSE') && has(...WRITES, 'CREATE', 'EXECUTE', 'INTO', 'REFRESH'))
    case 'WITH':
      return !has(...WRITES, 'INTO')
    default:
      return !has('INTO') // SELECT … INTO makes a table
  }
}
