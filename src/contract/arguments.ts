/**
 * What every public function asks of its arguments. A refusal is a `TypeError` or a
 * `RangeError` that names the argument and the value, before anything is sent.
 *
 * @module
 */
import type { Value } from './backend.ts'
import { quote } from './errors.ts'

/** The largest sequence number and generation: what a signed 64-bit column holds. */
export const MAX_INT64: bigint = 2n ** 63n - 1n

/**
 * Text that every database stores faithfully: no lone surrogate (it would become U+FFFD,
 * so that two names collide) and no NUL (Postgres refuses it, some readers cut there).
 */
export function checkText(argument: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') {
    throw new TypeError(`${argument} must be a string, got ${typeName(value)}: ${quote(value)}`)
  }
  if (!value.isWellFormed()) {
    throw new TypeError(
      `${argument} holds a lone surrogate, which no database keeps: ${quote(value)}; use value.toWellFormed()`,
    )
  }
  if (value.includes('\0')) {
    throw new TypeError(
      `${argument} holds a NUL character, which not every database keeps: ${quote(value)}`,
    )
  }
}

/** A `bigint` from `least` to 2^63-1. */
export function checkInt64(
  argument: string,
  value: unknown,
  least: bigint,
): asserts value is bigint {
  if (typeof value !== 'bigint') {
    throw new TypeError(`${argument} must be a bigint, got ${typeName(value)}: ${quote(value)}`)
  }
  if (value < least || value > MAX_INT64) {
    throw new RangeError(`${argument} must be from ${least} to ${MAX_INT64}, got ${value}`)
  }
}

/** Bytes, of exactly `length` where that is given. */
export function checkBytes(
  argument: string,
  value: unknown,
  length?: number,
): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`${argument} must be a Uint8Array, got ${typeName(value)}: ${quote(value)}`)
  }
  if (length !== undefined && value.length !== length) {
    throw new RangeError(`${argument} must have ${length} bytes, got ${value.length}`)
  }
}

/** A whole number from `least` to `most`. */
export function checkCount(
  argument: string,
  value: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== 'number') {
    throw new TypeError(`${argument} must be a number, got ${typeName(value)}: ${quote(value)}`)
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(
      `${argument} must be a whole number from ${least} to ${most}, got ${value}`,
    )
  }
}

/**
 * Parameters of a statement: as many as it has places, exactly the five kinds of value, and none
 * that a database would change on the way.
 * @param places How many placeholders `sql` has, where that is known.
 * @throws TypeError, RangeError that name the parameter, counted from 1, or say how many there are.
 */
export function checkParams(
  params: readonly Value[],
  sql: string,
  places: number | undefined,
): void {
  if (places !== undefined && params.length !== places) {
    throw new TypeError(`sql has ${places} parameters, got ${params.length} for ${quote(sql)}`)
  }
  for (let i = 0; i < params.length; i++) {
    const value = params[i]
    if (typeof value === 'string') checkText(`parameter ${i + 1}`, value)
    else if (typeof value === 'bigint') {
      if (BigInt.asIntN(64, value) !== value) {
        throw new RangeError(`parameter ${i + 1} must fit in 64 bits, got ${value}`)
      }
    } else if (value !== null && typeof value !== 'number' && !(value instanceof Uint8Array)) {
      throw new TypeError(
        `parameter ${i + 1} must be null, bigint, number, string or Uint8Array, got ${typeName(value)}: ${quote(value)}`,
      )
    } else if (typeof value === 'number' && Number.isNaN(value)) {
      throw new RangeError(`parameter ${i + 1} is NaN, which SQLite would store as NULL`)
    }
  }
}

/** A function. */
export function checkFunction(argument: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new TypeError(`${argument} must be a function, got ${typeName(value)}`)
}

/** What kind of thing a wrong argument is, in a word. */
export function typeName(value: unknown): string {
  return value === null ? 'null' : typeof value
}
