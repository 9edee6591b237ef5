/**
 * Heads: checked as a caller passes them, parsed as the database stores them, compared.
 *
 * @module
 */
import { checkBytes, checkInt64, typeName } from '../contract/arguments.ts'
import type { Head, LogName } from '../contract/entry.ts'
import { MalformedRowError, quote } from '../contract/errors.ts'
import { sameBytes } from './bytes.ts'

/** @throws TypeError, RangeError that name the field of `head`, which is a caller's argument. */
export function checkHead(argument: string, head: unknown): asserts head is Head {
  if (typeof head !== 'object' || head === null) {
    throw new TypeError(`${argument} must be { seq, contentHash }, got ${typeName(head)}`)
  }
  const { seq, contentHash } = head as Partial<Head>
  checkInt64(`${argument}.seq`, seq, 1n)
  checkBytes(`${argument}.contentHash`, contentHash, 32)
}

/**
 * Returns a stored pair of seq and content hash as a head.
 * @throws MalformedRowError when they are no integer from 1 and 32 bytes.
 */
export function parseHead({ stream, writer }: LogName, seq: unknown, contentHash: unknown): Head {
  if (
    typeof seq === 'bigint' &&
    seq >= 1n &&
    contentHash instanceof Uint8Array &&
    contentHash.length === 32
  ) {
    return { seq, contentHash }
  }
  throw new MalformedRowError(
    `stream ${quote(stream)} writer ${quote(writer)}: the head must have an integer seq and 32 bytes of hash, ` +
      `found ${quote(seq)} and ${quote(contentHash)}`,
  )
}

/** Whether two heads are the same point of the same chain. */
export function sameHead(a: Head | null, b: Head | null): boolean {
  if (a === null || b === null) return a === b
  return a.seq === b.seq && sameBytes(a.contentHash, b.contentHash)
}
