/**
 * Reading SQL just far enough: where its placeholders are, and which word it starts with.
 *
 * The store's SQL has `?`; PostgreSQL's has `$1`. A question mark inside quotes, dollar quotes
 * or a comment is left alone; `??` stands for an operator's single `?`.
 *
 * @module
 */
import { sqlTokens } from '#shared'

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
/** A cast, behind its placeholder, to a type of pgvector; the schema of the type may be named. */
const VECTOR_CAST =
  /\s*::\s*(?:(?:"[^"]*"|[A-Za-z_][A-Za-z0-9_$]*)\s*\.\s*)?(?:vector|halfvec|sparsevec)(?![A-Za-z0-9_$])/y

/**
 * Replace the placeholders.
 * @throws TypeError for SQL that numbers its parameters itself (`$1`).
 */
export function readSql(sql: string): SqlText {
  let text = ''
  let parameters = 0
  const words = new Set<string>()
  const vectors = new Set<number>()
  for (const { kind, start, end } of sqlTokens(sql, 'postgres')) {
    const token = sql.slice(start, end)
    if (kind === 'word') words.add(token.toUpperCase())
    if (kind !== 'parameter') text += token
    else if (token === '??') text += '?'
    else if (token === '?') {
      if (isCastToVector(sql, end)) vectors.add(parameters)
      // The number must not grow together with a word beside it.
      const [before, after] = [sql[start - 1], sql[end]].map((c) => (WORD.test(c ?? '') ? ' ' : ''))
      text += `${before}$${++parameters}${after}`
    } else {
      throw new TypeError(`sql must use ? for its parameters, found ${token}`)
    }
  }
  const [verb = ''] = words
  return { text, parameters, vectors, verb, words }
}

function isCastToVector(sql: string, at: number): boolean {
  VECTOR_CAST.lastIndex = at
  return VECTOR_CAST.test(sql)
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
