/**
 * Entries out of pages: parsed strictly from rows, or cut from a packed page on first use.
 *
 * @module
 */
import type { Backend, Row } from '../contract/backend.ts'
import type { Entry } from '../contract/entry.ts'
import { MalformedRowError, quote } from '../contract/errors.ts'
import { genesisIndex, type PackedPage } from './packed-page.ts'
import type { LogPage } from './pages.ts'

/**
 * A row of (seq, prev_hash, content_hash, payload) as an entry.
 * @throws MalformedRowError when a column has a type or length that no writer gives it.
 */
export function parseRow(stream: string, writer: string, row: Row): Entry {
  const [seq, prevHash, contentHash, payload] = row
  if (typeof seq !== 'bigint' || seq < 1n) {
    throw malformed(stream, writer, row, `seq must be an integer from 1, found ${typeof seq}`)
  }
  if (prevHash !== null && !(prevHash instanceof Uint8Array && prevHash.length === 32)) {
    throw malformed(
      stream,
      writer,
      row,
      `prev_hash must be NULL or 32 bytes, found ${quote(prevHash)}`,
    )
  }
  if (!(contentHash instanceof Uint8Array && contentHash.length === 32)) {
    throw malformed(
      stream,
      writer,
      row,
      `content_hash must be 32 bytes, found ${quote(contentHash)}`,
    )
  }
  if (!(payload instanceof Uint8Array)) {
    throw malformed(stream, writer, row, `payload must be a blob, found ${quote(payload)}`)
  }
  return { stream, writer, seq, prevHash, contentHash, payload }
}

function malformed(stream: string, writer: string, [seq]: Row, detail: string): MalformedRowError {
  return new MalformedRowError(
    `stream ${quote(stream)} writer ${quote(writer)} seq ${String(seq)}: ${detail}`,
  )
}

const OLDEST = `SELECT seq, prev_hash, content_hash, payload FROM _agent_store_log
  WHERE stream = ? AND writer = ? AND seq < 1 LIMIT 1`

/**
 * Rows below seq 1 lie before every page: look for one.
 * @throws MalformedRowError when there is one.
 */
export function checkOldest(db: Backend, stream: string, writer: string): void {
  const row = db.query(OLDEST, [stream, writer])[0]
  if (row !== undefined) parseRow(stream, writer, row)
}

/** The entries of a page, whole; from the first malformed row on none, and its error. */
export function entriesOf(stream: string, writer: string, page: LogPage): Iterable<Entry> {
  return page.kind === 'rows' ? parsed(stream, writer, page.rows) : cutWhole(stream, writer, page)
}

function* parsed(stream: string, writer: string, rows: readonly Row[]): Generator<Entry> {
  for (const row of rows) yield parseRow(stream, writer, row)
}

/** The entries of a page; those of a packed one make their byte arrays when asked for them. */
export function lazyEntriesOf(stream: string, writer: string, page: LogPage): Iterable<Entry> {
  return page.kind === 'rows' ? entriesOf(stream, writer, page) : cut(stream, writer, page)
}

function cutWhole(stream: string, writer: string, page: PackedPage): Entry[] {
  const { bytes, count, step, inputLengths } = page
  const { buffer } = bytes
  const genesis = genesisIndex(page.firstSeq, step)
  const entries = new Array<Entry>(count)
  let seq = page.firstSeq
  let at = bytes.byteOffset
  for (let i = 0; i < count; i++) {
    const prevBytes = i === genesis ? 0 : 32
    const inputLength = inputLengths[i] as number
    entries[i] = {
      stream,
      writer,
      seq,
      prevHash: prevBytes === 0 ? null : new Uint8Array(buffer, at + 32, 32),
      contentHash: new Uint8Array(buffer, at, 32),
      payload: new Uint8Array(buffer, at + 32 + prevBytes, inputLength - prevBytes),
    }
    at += 32 + inputLength
    seq += step
  }
  return entries
}

function cut(stream: string, writer: string, page: PackedPage): Entry[] {
  const genesis = genesisIndex(page.firstSeq, page.step)
  const entries = new Array<Entry>(page.count)
  let at = 0
  for (let i = 0; i < page.count; i++) {
    entries[i] = new PackedEntry(stream, writer, page, i, at, i === genesis ? 0 : 32)
    at += 32 + (page.inputLengths[i] as number)
  }
  return entries
}

class PackedEntry implements Entry {
  readonly stream: string
  readonly writer: string
  readonly #page: PackedPage
  readonly #index: number
  readonly #at: number
  readonly #prevBytes: number
  #payload: Uint8Array | undefined
  #contentHash: Uint8Array | undefined

  constructor(
    stream: string,
    writer: string,
    page: PackedPage,
    index: number,
    at: number,
    prevBytes: number,
  ) {
    this.stream = stream
    this.writer = writer
    this.#page = page
    this.#index = index
    this.#at = at
    this.#prevBytes = prevBytes
  }

  get seq(): bigint {
    const { firstSeq, step } = this.#page
    const index = BigInt(this.#index)
    return step === 1n ? firstSeq + index : firstSeq - index
  }

  get prevHash(): Uint8Array | null {
    return this.#prevBytes === 0 ? null : view(this.#page.bytes, this.#at + 32, 32)
  }

  get contentHash(): Uint8Array {
    this.#contentHash ??= view(this.#page.bytes, this.#at, 32)
    return this.#contentHash
  }

  get payload(): Uint8Array {
    const prevBytes = this.#prevBytes
    this.#payload ??= view(
      this.#page.bytes,
      this.#at + 32 + prevBytes,
      (this.#page.inputLengths[this.#index] as number) - prevBytes,
    )
    return this.#payload
  }
}

// Printed like any other entry.
Object.defineProperty(PackedEntry.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: PackedEntry): Entry {
    const { stream, writer, seq, prevHash, contentHash, payload } = this
    return { stream, writer, seq, prevHash, contentHash, payload }
  },
})

function view(bytes: Uint8Array, at: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + at, length)
}
