/**
 * Equality of bytes, and of rows that may hold bytes.
 *
 * @module
 */
import type { Value } from '../contract/backend.ts'

/** Whether both hold the same bytes, or both are `null`. */
export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b
  return Buffer.compare(a, b) === 0
}

/** Whether two rows, or two lists of parameters, hold the same values. */
export function sameValues(some: readonly Value[], others: readonly Value[]): boolean {
  if (some.length !== others.length) return false
  return some.every((value, i) => {
    const other = others[i]
    return value instanceof Uint8Array && other instanceof Uint8Array
      ? sameBytes(value, other)
      : Object.is(value, other)
  })
}
