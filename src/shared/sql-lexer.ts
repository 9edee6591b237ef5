/**
 * SQL cut into tokens, in either dialect, in time that grows with the length of the text alone.
 *
 * It reads just enough to tell words, parameters, quoted text and comments apart, so that a `?`
 * or a keyword inside a string or a comment is never taken for one. What is left open (a quote or
 * a comment without its end) reaches to the end of the text; the database refuses it.
 *
 * Sources: https://www.sqlite.org/lang.html and https://www.sqlite.org/lang_expr.html#varparam;
 * the chapter "Lexical Structure" of PostgreSQL's manual.
 *
 * @module
 */
import type { Dialect } from '../contract/backend.ts'

/** The kinds of tokens. A `symbol` is one character that is nothing else: an operator, a digit, … */
type SqlTokenKind = 'space' | 'comment' | 'word' | 'quoted' | 'parameter' | 'semicolon' | 'symbol'

/** One token: `sql.slice(start, end)`. */
export interface SqlToken {
  readonly kind: SqlTokenKind
  readonly start: number
  /** Exclusive. */
  readonly end: number
}

/** A rule is tried at the place where the reader stands; it matches one token or nothing. */
type Rules = readonly (readonly [SqlTokenKind, (sql: string, at: number) => number])[]

/** A rule from a sticky pattern, which must take linear time. Returns 0 for no match. */
function pattern(source: RegExp): (sql: string, at: number) => number {
  return (sql, at) => {
    source.lastIndex = at
    return source.test(sql) ? source.lastIndex : 0
  }
}

const RULES: Readonly<Record<Dialect, Rules>> = {
  sqlite: [
    ['space', pattern(/[ \t\n\v\f\r\ufeff]+/y)],
    ['word', pattern(/[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y)],
    ['parameter', pattern(/\?\d*|[:@$][A-Za-z0-9_$\u0080-\uffff]+/y)],
    ['quoted', quoted("'", "'")],
    ['quoted', quoted('"', '"')],
    ['quoted', quoted('`', '`')],
    ['quoted', quoted('[', ']')],
    ['comment', enclosed('--', '\n')],
    ['comment', enclosed('/*', '*/')],
    ['semicolon', pattern(/;/y)],
  ],
  postgres: [
    ['space', pattern(/[ \t\n\f\r\v]+/y)],
    ['quoted', escapeString],
    ['word', pattern(/[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y)],
    ['parameter', pattern(/\?\?|\?\d*|\$\d+/y)],
    ['quoted', quoted("'", "'")],
    ['quoted', quoted('"', '"')],
    ['quoted', dollarQuoted],
    ['comment', pattern(/--[^\n\r]*(?:[\n\r]|$)/y)],
    ['comment', nestedComment],
    ['semicolon', pattern(/;/y)],
  ],
}

/** The tokens of `sql`, without a gap, from its start to its end. */
export function* sqlTokens(sql: string, dialect: Dialect): Generator<SqlToken> {
  const rules = RULES[dialect]
  for (let start = 0; start < sql.length; ) {
    let kind: SqlTokenKind = 'symbol'
    let end = start + 1
    for (const [candidate, match] of rules) {
      const matched = match(sql, start)
      if (matched === 0) continue
      kind = candidate
      end = matched
      break
    }
    yield { kind, start, end }
    start = end
  }
}

/** The word that a statement begins with, in capitals; empty where it begins with something else. */
export function firstWord(sql: string, dialect: Dialect): string {
  for (const { kind, start, end } of sqlTokens(sql, dialect)) {
    if (kind === 'space' || kind === 'comment' || kind === 'semicolon') continue
    return kind === 'word' ? sql.slice(start, end).toUpperCase() : ''
  }
  return ''
}

/** A rule for what runs from `open` to `close`; a doubled `close` that ends no bracket stands for itself. */
function quoted(open: string, close: string): (sql: string, at: number) => number {
  return (sql, at) => {
    if (sql[at] !== open) return 0
    for (let from = at + 1; ; ) {
      const end = sql.indexOf(close, from)
      if (end < 0) return sql.length
      if (open !== close || sql[end + 1] !== close) return end + 1
      from = end + 2
    }
  }
}

/** A rule for what runs from `open` to the first `close`. */
function enclosed(open: string, close: string): (sql: string, at: number) => number {
  return (sql, at) => {
    if (!sql.startsWith(open, at)) return 0
    const end = sql.indexOf(close, at + open.length)
    return end < 0 ? sql.length : end + close.length
  }
}

const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
/** The gap between an escape string and the next one, which continues it. */
const CONTINUATION = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*(?=')/y

/** PostgreSQL's `E'…'`, in which a backslash escapes, and the strings that continue it. */
function escapeString(sql: string, at: number): number {
  if ((sql[at] !== 'e' && sql[at] !== 'E') || sql[at + 1] !== "'") return 0
  let end = escapeStringEnd(sql, at + 1)
  for (;;) {
    CONTINUATION.lastIndex = end
    const gap = CONTINUATION.exec(sql)?.[0]
    if (gap === undefined) return end
    end = escapeStringEnd(sql, end + gap.length)
  }
}

function escapeStringEnd(sql: string, start: number): number {
  for (let at = start + 1; at < sql.length; at++) {
    if (sql[at] === '\\') at++
    else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1
      at++
    }
  }
  return sql.length
}

function dollarQuoted(sql: string, at: number): number {
  DOLLAR_TAG.lastIndex = at
  const tag = DOLLAR_TAG.exec(sql)?.[0]
  if (tag === undefined) return 0
  const end = sql.indexOf(tag, at + tag.length)
  return end < 0 ? sql.length : end + tag.length
}

/** Comments of PostgreSQL nest. */
function nestedComment(sql: string, start: number): number {
  if (sql[start] !== '/' || sql[start + 1] !== '*') return 0
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
