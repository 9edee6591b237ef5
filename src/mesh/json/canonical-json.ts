/**
 * Canonical JSON, as signatures of the mesh cover it: no whitespace, members in the order of
 * the structure, byte strings as arrays of integers, 64-bit integers in full.
 *
 * A structure writes its own members in order; this module writes what they are made of.
 *
 * @module
 */

/** The largest unsigned 64-bit integer. */
export const MAX_UINT64: bigint = 2n ** 64n - 1n

/**
 * A string with the least escapes, which is what `JSON.stringify` gives for well-formed text.
 * @throws TypeError when it holds a lone surrogate, which UTF-8 cannot carry.
 */
export function jsonString(argument: string, text: string): string {
  if (typeof text !== 'string')
    throw new TypeError(`${argument} must be a string, got ${typeof text}`)
  if (!text.isWellFormed()) {
    throw new TypeError(`${argument} holds a lone surrogate; use value.toWellFormed()`)
  }
  return JSON.stringify(text)
}

/** Bytes as an array of integers. */
export function jsonBytes(bytes: Uint8Array): string {
  return `[${bytes.join(',')}]`
}

/** Strings in the order of their UTF-8 bytes, each once: the canonical order of a set. */
export function sortedTexts(texts: Iterable<string>): string[] {
  return [...new Set(texts)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

/** Integers in ascending order, each once. */
export function sortedIntegers(integers: Iterable<bigint>): bigint[] {
  return [...new Set(integers)].sort((a, b) => (a < b ? -1 : 1))
}

/** An unsigned 64-bit integer. @throws TypeError, RangeError. */
export function checkUint64(argument: string, value: bigint): void {
  if (typeof value !== 'bigint') {
    throw new TypeError(`${argument} must be a bigint, got ${typeof value}`)
  }
  if (value < 0n || value > MAX_UINT64) {
    throw new RangeError(`${argument} must be from 0 to ${MAX_UINT64}, got ${value}`)
  }
}

const encoder = new TextEncoder()

/** The UTF-8 of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Several byte strings, one behind the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
