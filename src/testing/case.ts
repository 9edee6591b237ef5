/**
 * What a case of the conformance suite is, and the few assertions that the cases share.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { type Backend, type Entry, Generation, WriterLog } from '../index.ts'

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
      const db = open()
      try {
        Generation.ensureSchema(db)
        WriterLog.ensureSchema(db)
        run(db)
      } finally {
        db.close()
      }
    },
  }
}

/** A case on two connections to one store. */
export function onTwo(name: string, run: (a: Backend, b: Backend) => void): ConformanceCase {
  return {
    name,
    needs: ['connections'],
    run(open) {
      const a = open()
      try {
        Generation.ensureSchema(a)
        WriterLog.ensureSchema(a)
        const b = open()
        try {
          run(a, b)
        } finally {
          b.close()
        }
      } finally {
        a.close()
      }
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

/** Fill one log with `count` payloads of many lengths, page borders included. */
export function fill(db: Backend, count: number, large = false): Entry[] {
  return WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: count }, (_, i) =>
      utf8('x'.repeat(large && i % 97 === 5 ? 40_000 : i % 70)),
    ),
  )
}
