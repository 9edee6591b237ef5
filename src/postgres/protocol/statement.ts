/**
 * Prepared statements of one connection.
 *
 * They are named by a hash of their SQL and the types of their parameters, never by a counter:
 * behind a pooler, where connections to the server change hands, a name then always means the
 * same statement, whoever prepared it.
 *
 * @module
 */
import { BoundedMap } from '#shared'
import { crypto } from '../crypto.ts'
import { type Kind, kindOf } from './types.ts'

/** A statement that the server has parsed. */
export interface Statement {
  /** Empty for one that is parsed at every use. */
  readonly name: string
  readonly sql: string
  readonly types: readonly number[]
  /** The kinds of its columns; `undefined` when it returns no rows. */
  readonly kinds: readonly Kind[] | undefined
}

/** The name of a statement. */
export function statementName(sql: string, types: readonly number[]): string {
  const digest = crypto().createHash('sha256').update(`${types.join()}\0${sql}`).digest('hex')
  return `agent_store_${digest.slice(0, 32)}`
}

/** The kinds of columns with these types. */
export function kindsOf(types: readonly number[]): Kind[] {
  return types.map(kindOf)
}

const KEPT = 256

/** The statements that are prepared on a connection. */
export class StatementCache {
  readonly #statements = new BoundedMap<string, Statement>(KEPT)
  #evicted: string[] = []
  readonly #gone = new WeakSet<Statement>()

  get(key: string): Statement | undefined {
    return this.#statements.get(key)
  }

  set(key: string, statement: Statement): void {
    const evicted = this.#statements.set(key, statement)
    if (evicted !== undefined) this.#forget(evicted)
  }

  /** Forget one, which is to be parsed again. */
  drop(statement: Statement): void {
    for (const [key, kept] of this.#statements) {
      if (kept === statement) this.#statements.delete(key)
    }
    this.#forget(statement)
  }

  /** Whether the server knows it by its name. One call can use more than are kept. */
  isKept(statement: Statement): boolean {
    return statement.name !== '' && !this.#gone.has(statement)
  }

  #forget(statement: Statement): void {
    this.#gone.add(statement)
    if (statement.name !== '') this.#evicted.push(statement.name)
  }

  /** The names that the server may forget; each is given once. */
  takeEvicted(): readonly string[] {
    if (this.#evicted.length === 0) return this.#evicted
    const evicted = this.#evicted
    this.#evicted = []
    return evicted
  }
}
