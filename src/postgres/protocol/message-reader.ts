/**
 * Messages from the server, in PostgreSQL's frontend/backend protocol 3.
 *
 * Trusts nothing: every length is checked against its message before it is used, memory grows
 * only with bytes that have arrived, and whatever no server sends is a {@link ProtocolError}.
 *
 * Format: https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @module
 */
import type { Row, Value } from '../../index.ts'
import { decodeCell, type Kind } from './types.ts'

/** The bytes are not what the protocol has at this place; the connection cannot be used on. */
class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** A row can hold 1 GiB; nothing else comes near to this. */
const ROW_BYTES = 2 ** 30 + 2 ** 20
const OTHER_BYTES = 2 ** 24
const DATA_ROW = 'D'.charCodeAt(0)
const COPY_DATA = 'd'.charCodeAt(0)

/** Cuts a stream of bytes into messages and reads their fields. */
export class MessageReader {
  readonly #receive: () => Uint8Array
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #text: Buffer = Buffer.alloc(0)
  /** Where the next field is. */
  #at = 0
  /** Where the current message ends. */
  #end = 0

  /** @param receive Blocks until there are bytes and returns them. */
  constructor(receive: () => Uint8Array) {
    this.#receive = receive
  }

  /** Bytes that were received and belong to no message that was read. */
  get buffered(): number {
    return this.#bytes.length - this.#end
  }

  /** Add bytes that came without being asked for. */
  push(bytes: Uint8Array): void {
    this.#hold([this.#bytes.subarray(this.#end), bytes])
  }

  /** Whether the next message has arrived as a whole. */
  get hasMessage(): boolean {
    return this.buffered >= 5 && this.buffered >= 1 + this.#lengthAt(this.#end)
  }

  /** Go on to the next message; blocks until it is there as a whole. @returns its type. */
  next(): string {
    this.#need(5)
    const type = this.#bytes[this.#end] ?? 0
    const length = this.#lengthAt(this.#end)
    const most = type === DATA_ROW || type === COPY_DATA ? ROW_BYTES : OTHER_BYTES
    if (length < 4 || length > most) {
      throw new ProtocolError(`a message of type ${printable(type)} claims ${length} bytes`)
    }
    this.#need(1 + length)
    this.#at = this.#end + 5
    this.#end += 1 + length
    return String.fromCharCode(type)
  }

  /** Bytes of the current message that were not read. */
  get left(): number {
    return this.#end - this.#at
  }

  byte(): number {
    return this.#bytes[this.#take(1)] ?? 0
  }

  int16(): number {
    return this.#view.getInt16(this.#take(2))
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4))
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  /** Text up to a NUL. */
  cstring(): string {
    const nul = this.#bytes.indexOf(0, this.#at)
    if (nul < 0 || nul >= this.#end) throw new ProtocolError('a text has no end')
    const text = this.#text.toString('utf8', this.#at, nul)
    this.#at = nul + 1
    return text
  }

  /** The next `length` bytes, as a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.slice(at, at + length)
  }

  /** A row whose cells are of these kinds. */
  row(kinds: readonly Kind[]): Row {
    const count = this.int16()
    if (count !== kinds.length) {
      throw new ProtocolError(`a row has ${count} cells where ${kinds.length} were announced`)
    }
    const row = new Array<Value>(count)
    for (let i = 0; i < count; i++) {
      const length = this.int32()
      if (length === -1) row[i] = null
      else {
        const at = this.#take(length)
        row[i] = decodeCell(kinds[i] ?? 'text', this.#bytes, this.#view, this.#text, at, length)
      }
    }
    return row
  }

  #take(length: number): number {
    const at = this.#at
    if (length < 0 || at + length > this.#end) {
      throw new ProtocolError(`a field of ${length} bytes does not fit in its message`)
    }
    this.#at = at + length
    return at
  }

  #lengthAt(at: number): number {
    return this.#view.getInt32(at + 1)
  }

  /** Have `count` bytes behind the current message; what lies before it is let go. */
  #need(count: number): void {
    if (this.buffered >= count) return
    const chunks = [this.#bytes.subarray(this.#end)]
    let size = this.buffered
    while (size < count) {
      const chunk = this.#receive()
      chunks.push(chunk)
      size += chunk.length
    }
    this.#hold(chunks)
  }

  #hold(chunks: readonly Uint8Array[]): void {
    const [rest, only] = chunks
    if (chunks.length === 2 && rest?.length === 0 && only !== undefined) this.#bytes = only
    else {
      this.#bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
      let at = 0
      for (const chunk of chunks) {
        this.#bytes.set(chunk, at)
        at += chunk.length
      }
    }
    const { buffer, byteOffset, length } = this.#bytes
    this.#view = new DataView(buffer, byteOffset, length)
    this.#text = Buffer.from(buffer, byteOffset, length)
    this.#at = 0
    this.#end = 0
  }
}

function printable(type: number): string {
  return JSON.stringify(String.fromCharCode(type))
}
