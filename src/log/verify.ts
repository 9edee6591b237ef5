/**
 * Recomputing the chain: every entry in order, each linked to the one before, each hash
 * what its payload gives. Memory is constant; the first fault in order is the one named.
 *
 * What an unkeyed chain cannot show is listed in `docs/invariants.md`. A head kept
 * elsewhere as `(seq, contentHash)` and passed as `from` shows a cut tail as well.
 *
 * @module
 */
import { MAX_INT64 } from '../contract/arguments.ts'
import type { Backend } from '../contract/backend.ts'
import type { Head, LogName } from '../contract/entry.ts'
import { ChainBrokenError } from '../contract/errors.ts'
import { chainHash, hashMany } from '../hash/chain.ts'
import { sameBytes } from '../shared/bytes.ts'
import { sameHead } from '../shared/head.ts'
import type { PackedPage } from './packed-page.ts'
import { type LogPage, pages, rowPage } from './pages.ts'
import { checkOldest, parseRow } from './rows.ts'

/** Called with the number of entries checked since the last call. */
export type Progress = (entries: number) => void

const HEAD_SEQ =
  'SELECT seq FROM _agent_store_log WHERE stream = ? AND writer = ? ORDER BY seq DESC LIMIT 1'

/**
 * Check a log from `from` (exclusive, itself compared with what is stored) up to where it
 * reached when the check began.
 * @param onPage Called with each page that was found sound.
 * @returns the last head that was checked; `null` for an empty log.
 */
export function verifyLog(
  db: Backend,
  stream: string,
  writer: string,
  from: Head | null,
  onProgress?: Progress,
  onPage?: (page: LogPage) => void,
): Head | null {
  const log = { db, stream, writer }
  const newest = db.query(HEAD_SEQ, [stream, writer])[0]?.[0]
  const to = typeof newest === 'bigint' ? newest : newest === undefined ? 0n : MAX_INT64
  checkOldest(db, stream, writer)
  let head = from
  if (from !== null) checkPinned(log, from)
  const range = { from: (from?.seq ?? 0n) + 1n, to }
  for (const page of pages(db, stream, writer, range, { ahead: true })) {
    const next = page.kind === 'packed' ? packedHead(page, head) : undefined
    head = next ?? checkRows(log, page, head)
    onPage?.(page)
    onProgress?.(page.kind === 'packed' ? page.count : page.rows.length)
    if (onPage === undefined && page.kind === 'packed') release(page.bytes)
  }
  if (typeof newest === 'bigint' && newest !== (head?.seq ?? 0n)) {
    throw broken(log, (head?.seq ?? 0n) + 1n, 'the entry is missing')
  }
  return head
}

interface Log extends LogName {
  readonly db: Backend
}

function checkPinned({ db, stream, writer }: Log, pinned: Head): void {
  const row = rowPage(db, stream, writer, { from: pinned.seq, to: pinned.seq }, 1).rows[0]
  if (row === undefined) {
    throw broken(
      { db, stream, writer },
      pinned.seq,
      'the entry that was verified before is missing',
    )
  }
  const entry = parseRow(stream, writer, row)
  const sound =
    (entry.prevHash === null) === (entry.seq === 1n) &&
    sameBytes(chainHash(entry.prevHash, entry.payload), pinned.contentHash)
  if (!sound || !sameHead(entry, pinned)) {
    throw broken(
      { db, stream, writer },
      pinned.seq,
      'the entry is not the one that was verified before',
    )
  }
}

/** The head after a sound packed page; `undefined` when anything in it is not as it must be. */
function packedHead(page: PackedPage, head: Head | null): Head | undefined {
  const { bytes, inputLengths, count } = page
  if (page.firstSeq !== (head?.seq ?? 0n) + 1n) return undefined
  const digests = hashMany(bytes, inputLengths, 32)
  const stored = viewOf(bytes)
  const computed = viewOf(digests)
  let at = 0
  for (let i = 0; i < count; i++) {
    const linked =
      i > 0
        ? sameHash(stored, at + 32, computed, 32 * (i - 1))
        : head === null || sameHash(stored, at + 32, viewOf(head.contentHash), 0)
    if (!linked || !sameHash(stored, at, computed, 32 * i)) return undefined
    at += 32 + (inputLengths[i] as number)
  }
  return {
    seq: page.firstSeq + BigInt(count - 1),
    contentHash: digests.slice(32 * (count - 1)),
  }
}

/**
 * Free what nobody looks at any more. V8 would wait for some 60 MB of it, as it lies outside
 * its heap. A view on a part of a buffer is left alone: the rest may be somebody else's.
 */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/** The head after the page's entries. @throws at the first one that is not as it must be. */
function checkRows(log: Log, page: LogPage, start: Head | null): Head | null {
  const { db, stream, writer } = log
  if (page.kind === 'packed') {
    // Read again row by row, to say which entry it is.
    let head = start
    const to = page.firstSeq + BigInt(page.count - 1)
    for (let from = page.firstSeq; from <= to; from = (head?.seq ?? 0n) + 1n) {
      const rows = rowPage(db, stream, writer, { from, to }, page.count)
      if (rows.rows.length === 0) throw broken(log, from, 'the entry is missing')
      head = checkRows(log, rows, head)
    }
    return head
  }
  let head = start
  for (const row of page.rows) {
    const expected = (head?.seq ?? 0n) + 1n
    const entry = parseRow(stream, writer, row)
    const prevHash = head?.contentHash ?? null
    if (entry.seq !== expected) {
      throw broken(log, expected, `the entry is missing, seq ${entry.seq} follows`)
    }
    if (!sameBytes(entry.prevHash, prevHash)) {
      throw broken(log, entry.seq, 'prev_hash does not link to the entry before')
    }
    if (!sameBytes(chainHash(prevHash, entry.payload), entry.contentHash)) {
      throw broken(log, entry.seq, 'content_hash does not match the payload (edited)')
    }
    head = { seq: entry.seq, contentHash: entry.contentHash }
  }
  return head
}

function broken({ stream, writer }: Log, seq: bigint, detail: string): ChainBrokenError {
  return new ChainBrokenError(stream, writer, seq, detail)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

function sameHash(a: DataView, aAt: number, b: DataView, bAt: number): boolean {
  for (let i = 0; i < 32; i += 4) if (a.getInt32(aAt + i) !== b.getInt32(bAt + i)) return false
  return true
}
