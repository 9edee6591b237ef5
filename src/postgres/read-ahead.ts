/**
 * A read that was sent before it is asked for.
 *
 * Its answer comes first on the connection: it is taken by who asks for that very read, or else
 * taken off and thrown away before anything else is read.
 *
 * @module
 */
import { sameValues } from '#shared'
import type { Value } from '../index.ts'
import type { PgConnection } from './connection.ts'
import type { Statement } from './protocol/statement.ts'

/** Within this, a server has answered a notification. */
const ANSWERED_MS = 5

/** A read as it was begun. */
export interface Begun {
  readonly sql: string
  readonly params: readonly Value[]
  readonly connection: PgConnection
  readonly statement: Statement
}

/** Room for one. */
export class Ahead {
  #begun: Begun | undefined
  #soon: NodeJS.Timeout | undefined

  /** Whether the next answer is one that nobody asked for yet. */
  get isPending(): boolean {
    return this.#begun !== undefined
  }

  /** Remember one that was sent. */
  hold(begun: Begun): void {
    this.#begun = begun
  }

  /** The one that is held, for who reads its answer, if it is this one. */
  take(sql: string, params: readonly Value[]): Begun | undefined {
    const begun = this.#begun
    if (begun === undefined || begun.sql !== sql || !sameValues(begun.params, params))
      return undefined
    this.#begun = undefined
    return begun
  }

  /** Take the answer that nobody asked for off the connection. */
  giveUp(): void {
    const begun = this.#begun
    if (begun === undefined) return
    this.#begun = undefined
    try {
      begun.connection.finish(begun.statement)
    } catch {
      // That of a hint is nobody's error; a lost connection is found by the next call.
    }
  }

  /** The same in a moment, from the event loop, where no call has done it before. */
  giveUpSoon(then: () => void): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.giveUp()
      then()
    }, ANSWERED_MS).unref()
  }
}
