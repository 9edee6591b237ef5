/**
 * Bytes whose number is not known before the last one has come: a stack, or an array in the making.
 *
 * @module
 */

/** A growing array of bytes. */
export class GrowingBytes {
  #bytes: Uint8Array = new Uint8Array(64)
  #length = 0

  get last(): number | undefined {
    return this.#length === 0 ? undefined : this.#bytes[this.#length - 1]
  }

  push(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#length * 2)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes[this.#length++] = byte
  }

  pop(): void {
    this.#length--
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}
