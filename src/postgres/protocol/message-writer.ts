/**
 * Messages to the server, in PostgreSQL's frontend/backend protocol 3.
 *
 * Format: https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @module
 */

const INITIAL_BYTES = 8 * 1024
const KEPT_BYTES = 1024 * 1024

/** Builds messages one behind the other in one buffer. */
export class MessageWriter {
  #bytes: Buffer = Buffer.allocUnsafe(INITIAL_BYTES)
  #at = 0
  #lengthAt = 0

  /** How many bytes there are to be taken. */
  get size(): number {
    return this.#at
  }

  /** Begin a message: its type as a letter; none for the messages that open a connection. */
  begin(type: string): this {
    this.#reserve(5)
    if (type !== '') this.#bytes[this.#at++] = type.charCodeAt(0)
    this.#lengthAt = this.#at
    this.#at += 4
    return this
  }

  /** End the message that was begun. */
  end(): this {
    this.#bytes.writeInt32BE(this.#at - this.#lengthAt, this.#lengthAt)
    return this
  }

  /** A count, up to 65,535. */
  int16(value: number): this {
    this.#reserve(2)
    this.#at = this.#bytes.writeUInt16BE(value, this.#at)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#at = this.#bytes.writeInt32BE(value, this.#at)
    return this
  }

  byte(letter: string): this {
    this.#reserve(1)
    this.#bytes[this.#at++] = letter.charCodeAt(0)
    return this
  }

  /** Text with its closing NUL; it must hold none itself. */
  cstring(text: string): this {
    this.#reserve(3 * text.length + 1)
    this.#at += this.#bytes.write(text, this.#at)
    this.#bytes[this.#at++] = 0
    return this
  }

  bytes(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
    return this
  }

  /** A parameter: its length in bytes, then its bytes; text as UTF-8, numbers in binary. */
  value(value: null | bigint | number | string | Uint8Array): this {
    if (value === null) return this.int32(-1)
    if (typeof value === 'string') {
      this.#reserve(4 + 3 * value.length)
      const length = this.#bytes.write(value, this.#at + 4)
      this.#bytes.writeInt32BE(length, this.#at)
      this.#at += 4 + length
      return this
    }
    if (value instanceof Uint8Array) return this.int32(value.length).bytes(value)
    this.int32(8).#reserve(8)
    this.#at =
      typeof value === 'bigint'
        ? this.#bytes.writeBigInt64BE(value, this.#at)
        : this.#bytes.writeDoubleBE(value, this.#at)
    return this
  }

  /** What was built, as an array of the caller's own; the writer begins anew. */
  take(): Uint8Array {
    const bytes = new Uint8Array(this.#at)
    bytes.set(this.#bytes.subarray(0, this.#at))
    this.reset()
    return bytes
  }

  /** Drop what was built. */
  reset(): void {
    this.#at = 0
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(INITIAL_BYTES)
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}
