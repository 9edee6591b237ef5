/**
 * What is asked of a server at once: messages of the extended query protocol, up to a Sync.
 *
 * A statement that the server does not keep is parsed in the request that uses it, and those that
 * were evicted are given back with the next request.
 *
 * @module
 */
import type { Value } from '../../index.ts'
import type { MessageWriter } from './message-writer.ts'
import type { Statement, StatementCache } from './statement.ts'

/** Writes the messages of one request, one behind the other. */
export class Request {
  readonly #writer: MessageWriter
  readonly #statements: StatementCache
  /** What the unnamed statement is by now. */
  #parsed: Statement | undefined

  constructor(writer: MessageWriter, statements: StatementCache) {
    this.#writer = writer
    this.#statements = statements
    for (const name of statements.takeEvicted()) writer.begin('C').byte('S').cstring(name).end()
  }

  parse(name: string, sql: string, types: readonly number[]): void {
    const writer = this.#writer.begin('P').cstring(name).cstring(sql).int16(types.length)
    for (const type of types) writer.int32(type)
    writer.end()
  }

  describe(name: string): void {
    this.#writer.begin('D').byte('S').cstring(name).end()
  }

  /** Where the server does not keep the statement, its columns are asked for as well. */
  bind(portal: string, statement: Statement, params: readonly Value[]): void {
    const { sql, types, kinds } = statement
    const isKept = this.#statements.isKept(statement)
    if (!isKept && this.#parsed !== statement) {
      this.parse('', sql, types)
      this.#parsed = statement
    }
    const name = isKept ? statement.name : ''
    const writer = this.#writer.begin('B').cstring(portal).cstring(name).int16(params.length)
    for (const param of params) writer.int16(typeof param === 'string' || param === null ? 0 : 1)
    writer.int16(params.length)
    for (const param of params) writer.value(param)
    writer.int16(kinds?.length ?? 0)
    if (kinds !== undefined) for (const kind of kinds) writer.int16(kind === 'text' ? 0 : 1)
    writer.end()
    if (!isKept && kinds !== undefined) writer.begin('D').byte('P').cstring(portal).end()
  }

  /** The rows of a portal, at most `most` of them; 0 for all. */
  execute(portal: string, most: number): void {
    this.#writer.begin('E').cstring(portal).int32(most).end()
  }

  closePortal(portal: string): void {
    this.#writer.begin('C').byte('P').cstring(portal).end()
  }

  sync(): void {
    this.#writer.begin('S').end()
  }
}
