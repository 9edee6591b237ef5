/**
 * What a case of the conformance suite is, and the few assertions that the cases share.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { type Backend, Generation, WriterLog } from '../index.ts'

/**
 * What not every backend can do. A backend declares what it has; the cases that need
 * another ability are skipped, and named as skipped.
 *
 * - `connections`: calling `open` again gives a second connection to the same store.
 * - `interleaving`: other statements may run while an iteration is open outside a transaction.
 * - `untyped-columns`: a column may hold a value of another type than its own, as SQLite's may.
 */
export type Ability = 'connections' | 'interleaving' | 'untyped-columns'

/** Opens a connection to the store of one case, which is empty at first. */
export type OpenStore = () => Backend

/** One thing that a backend must do. Throws an `AssertionError` when it does not. */
export interface ConformanceCase {
  /** Reads on from the backend's name: `rolls back when the callback throws`. */
  readonly name: string
  readonly needs: readonly Ability[]
  /** Closes every connection that it opens. */
  run(open: OpenStore): void
}

/** A case on one connection with the tables of the primitives. */
export function onStore(name: string, run: (db: Backend) => void): ConformanceCase {
  return {
    name,
    needs: [],
    run(open) {
      using db = open()
      Generation.ensureSchema(db)
      WriterLog.ensureSchema(db)
      run(db)
    },
  }
}

/** A case on two connections to one store. */
export function onTwo(name: string, run: (a: Backend, b: Backend) => void): ConformanceCase {
  return {
    name,
    needs: ['connections'],
    run(open) {
      using a = open()
      Generation.ensureSchema(a)
      WriterLog.ensureSchema(a)
      using b = open()
      run(a, b)
    },
  }
}

/** `work` throws an error with this code. */
export function throwsCode(code: string, work: () => unknown): void {
  assert.throws(work, (error: unknown) => {
    assert.ok(error instanceof Error, `an Error with code ${code} is thrown`)
    assert.equal('code' in error ? error.code : error.name, code, error.message)
    return true
  })
}

/** UTF-8 bytes. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
