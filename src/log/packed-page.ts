/**
 * Up to some hundred entries as the bytes in which SQL packed them, and how those bytes are cut.
 *
 * @module
 */
import type { Row, Value } from '../contract/backend.ts'

/** Entries in the shape in which SQL packed them, in reading order, without a gap. */
export interface PackedPage {
  readonly kind: 'packed'
  readonly firstSeq: bigint
  /** 1n, or -1n when reading backwards. */
  readonly step: 1n | -1n
  readonly count: number
  /** For each entry its `content_hash`, and what was hashed: `prev_hash` (but for seq 1), payload. */
  readonly bytes: Uint8Array
  /** How many bytes were hashed for each entry. */
  readonly inputLengths: Uint32Array
}

/** Marks an entry that cannot be packed, in the place of its size. */
export const UNPACKED = 0xd7ff

/** Returns the page of a row that SQL has joined; the first entry has `firstSeq`. */
export function cutRow([marks, bytes]: Row = [], firstSeq: bigint, step: 1n | -1n): PackedPage {
  const found = typeof marks === 'string' ? marks : ''
  const inputLengths = new Uint32Array(found.length / 2)
  const genesis = genesisIndex(firstSeq, step)
  let count = 0
  let length = 0
  for (; count < inputLengths.length; count++) {
    const size = found.charCodeAt(2 * count + 1)
    if (size === UNPACKED || found.charCodeAt(2 * count) !== count + 1) break
    const inputLength = size - 1 + (count === genesis ? 0 : 32)
    inputLengths[count] = inputLength
    length += 32 + inputLength
  }
  return {
    kind: 'packed',
    firstSeq,
    step,
    count,
    // Up to the first entry that did not fit; what lies behind it is not aligned any more.
    bytes: toBytes(bytes).subarray(0, length),
    inputLengths: inputLengths.subarray(0, count),
  }
}

/** Returns a page of rows of (seq, bytes); the first entry has `firstSeq`. */
export function joinRows(rows: readonly Row[], firstSeq: bigint, step: 1n | -1n): PackedPage {
  const inputLengths = new Uint32Array(rows.length)
  let count = 0
  let length = 0
  let expected = firstSeq
  for (const [seq, bytes] of rows) {
    if (seq !== expected || !(bytes instanceof Uint8Array)) break
    expected += step
    inputLengths[count++] = bytes.length - 32
    length += bytes.length
  }
  const joined = new Uint8Array(length)
  let at = 0
  for (let i = 0; i < count; i++) {
    const bytes = toBytes(rows[i]?.[1])
    joined.set(bytes, at)
    at += bytes.length
  }
  return {
    kind: 'packed',
    firstSeq,
    step,
    count,
    bytes: joined,
    inputLengths: inputLengths.subarray(0, count),
  }
}

/** Which entry of a page has seq 1, and so no previous hash; `Infinity` for none. */
export function genesisIndex(firstSeq: bigint, step: bigint): number {
  const index = Number((1n - firstSeq) * step)
  return index >= 0 ? index : Number.POSITIVE_INFINITY
}

function toBytes(value: Value | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}
