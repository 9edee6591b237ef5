/**
 * A JSON reader that is told what to expect, as strict as the Rust peers' and no stricter:
 * a known member twice is an error and an unknown one is skipped at any depth; integers stay
 * whole beyond 2^53; a byte string is an array of integers from 0 to 255 and goes straight
 * into bytes, so that memory stays in proportion to the input.
 *
 * @module
 */

import { MeshError } from '../errors.ts'
import { MAX_UINT64 } from './canonical-json.ts'
import { GrowingBytes } from './growing-bytes.ts'

// A byte-order mark inside a string is text like any other.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const QUOTE = 0x22
const COMMA = 0x2c
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const NUMBER_BYTES: ReadonlySet<number> = new Set(Buffer.from('-+0123456789.eE'))

/** Reads one JSON document from the left to the right. Every failure is a MeshError MESH_ENCODING. */
export class JsonReader {
  readonly #bytes: Uint8Array
  #at: number = 0

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /**
   * Read the whole of `bytes` by `read`; only whitespace may follow.
   * @throws MeshError MESH_ENCODING
   */
  static parse<T>(bytes: Uint8Array, read: (reader: JsonReader) => T): T {
    const reader = new JsonReader(bytes)
    const value = read(reader)
    if (reader.#peek() !== undefined) reader.fail('something follows the document')
    return value
  }

  /** Give up, saying where. */
  fail(what: string): never {
    throw new MeshError('MESH_ENCODING', `${what}, at byte ${this.#at}`)
  }

  /** `value`, which a member of this name should have given. */
  required<T>(value: T | undefined, name: string): T {
    return value === undefined ? this.fail(`member ${name} is missing`) : value
  }

  /** An object. A member in `members` is read by its function, any other is skipped. */
  object(members: Readonly<Record<string, () => void>>): void {
    const seen = new Set<string>()
    this.#members((name) => {
      if (!Object.hasOwn(members, name)) return this.skip()
      if (seen.has(name)) this.fail(`member ${name} comes twice`)
      seen.add(name)
      members[name]?.()
    })
  }

  /** An object whose one member names a variant, which its function reads. */
  variant<T>(variants: Readonly<Record<string, () => T>>): T {
    let found: { readonly value: T } | undefined
    this.#members((name) => {
      if (found !== undefined) this.fail('a variant has one member')
      const read = Object.hasOwn(variants, name) ? variants[name] : undefined
      if (read === undefined) return this.fail('unknown variant')
      found = { value: read() }
    })
    return found === undefined ? this.fail('a variant is missing') : found.value
  }

  /** The string that the object ahead has as member `name`, wherever it stands. Reads nothing. */
  tag(name: string): string {
    const start = this.#at
    let tag: string | undefined
    this.object({ [name]: () => (tag = this.string()) })
    this.#at = start
    return this.required(tag, name)
  }

  /** An array, each element of which is read by `element`. */
  array(element: () => void): void {
    this.#expect(OPEN_ARRAY, 'an array')
    if (this.#peek() === CLOSE_ARRAY) {
      this.#at++
      return
    }
    for (;;) {
      element()
      if (this.#separator(CLOSE_ARRAY)) return
    }
  }

  /** Whether a string is next. */
  atString(): boolean {
    return this.#peek() === QUOTE
  }

  /** Take a `null`, if that is what is next. */
  takeNull(): boolean {
    if (this.#peek() !== 0x6e) return false
    this.#literal('null')
    return true
  }

  /** A string of well-formed text. */
  string(): string {
    const start = this.#at
    const raw = this.#rawString()
    let text: unknown
    try {
      text = JSON.parse(decoder.decode(raw))
    } catch {
      this.#at = start
    }
    if (typeof text !== 'string' || !text.isWellFormed())
      return this.fail('expected a string of text')
    return text
  }

  /** An unsigned 64-bit integer. */
  u64(): bigint {
    this.#peek()
    const start = this.#at
    while (this.#digitAhead()) this.#at++
    const digits = this.#bytes.subarray(start, this.#at)
    // 2^64 has 20 digits; a longer one need not be computed to be known as too large.
    if (digits.length === 0 || digits.length > 20 || (digits.length > 1 && digits[0] === ZERO)) {
      this.fail('expected an unsigned integer')
    }
    this.#endOfInteger()
    const value = BigInt(decoder.decode(digits))
    return value > MAX_UINT64 ? this.fail('an integer does not fit in 64 bits') : value
  }

  /** An array of exactly `length` integers from 0 to 255. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    let count = 0
    this.array(() => {
      const byte = this.#byte()
      if (count === length) this.fail(`expected ${length} bytes, found more`)
      bytes[count++] = byte
    })
    return count === length ? bytes : this.fail(`expected ${length} bytes, found ${count}`)
  }

  /** Bytes of any length: an array of integers, or a string, which stands for its UTF-8. */
  blob(): Uint8Array {
    if (this.atString()) return new TextEncoder().encode(this.string())
    const found = new GrowingBytes()
    this.array(() => found.push(this.#byte()))
    return found.take()
  }

  /** Any value, of any depth, for which only the grammar matters. */
  skip(): void {
    const open = new GrowingBytes()
    do {
      const next = this.#peek()
      if (next === OPEN_OBJECT || next === OPEN_ARRAY) {
        this.#at++
        if (this.#peek() !== next + 2) {
          open.push(next)
          if (next === OPEN_OBJECT) this.#skipName()
          continue
        }
        this.#at++
      } else this.#skipScalar(next)
      while (open.last !== undefined && this.#separator(open.last + 2)) open.pop()
      if (open.last === OPEN_OBJECT) this.#skipName()
    } while (open.last !== undefined)
  }

  #members(member: (name: string) => void): void {
    this.#expect(OPEN_OBJECT, 'an object')
    if (this.#peek() === CLOSE_OBJECT) {
      this.#at++
      return
    }
    for (;;) {
      this.#peek()
      const name = this.string()
      this.#expect(COLON, 'a colon')
      member(name)
      if (this.#separator(CLOSE_OBJECT)) return
    }
  }

  /** Take a comma, or the end. @returns whether it was the end. */
  #separator(end: number): boolean {
    const next = this.#peek()
    if (next !== COMMA && next !== end) this.fail('expected a comma or the end')
    this.#at++
    return next === end
  }

  #skipName(): void {
    if (this.#peek() !== QUOTE) this.fail('expected a member')
    this.#rawString()
    this.#expect(COLON, 'a colon')
  }

  #skipScalar(next: number | undefined): void {
    if (next === QUOTE) this.#skipString()
    else if (next === 0x6e) this.#literal('null')
    else if (next === 0x74) this.#literal('true')
    else if (next === 0x66) this.#literal('false')
    else this.#skipNumber()
  }

  #skipString(): void {
    const raw = this.#rawString()
    // The bytes stand for themselves here: only escapes and control characters can be wrong.
    if (raw.every((byte) => byte >= 0x20 && byte !== BACKSLASH)) return
    try {
      JSON.parse(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1'))
    } catch {
      this.fail('expected a string')
    }
  }

  #skipNumber(): void {
    const start = this.#at
    while (NUMBER_BYTES.has(this.#bytes[this.#at] ?? 0)) this.#at++
    const text = decoder.decode(this.#bytes.subarray(start, this.#at))
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text)) this.fail('expected a value')
  }

  /** From one quotation mark to the other, both included. */
  #rawString(): Uint8Array {
    if (this.#peek() !== QUOTE) this.fail('expected a string')
    const start = this.#at
    for (let at = start + 1; at < this.#bytes.length; at++) {
      const byte = this.#bytes[at]
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) {
        this.#at = at + 1
        return this.#bytes.subarray(start, at + 1)
      }
    }
    return this.fail('a string does not end')
  }

  #byte(): number {
    const first = this.#peek()
    if (first === undefined || first < ZERO || first > NINE) return this.fail('expected a byte')
    let value = 0
    const start = this.#at
    while (this.#digitAhead()) {
      value = value * 10 + (this.#bytes[this.#at++] ?? 0) - ZERO
      if (value > 255) this.fail('expected a byte')
    }
    if (first === ZERO && this.#at > start + 1) this.fail('expected a byte')
    this.#endOfInteger()
    return value
  }

  #digitAhead(): boolean {
    const byte = this.#bytes[this.#at]
    return byte !== undefined && byte >= ZERO && byte <= NINE
  }

  #endOfInteger(): void {
    const byte = this.#bytes[this.#at]
    if (byte === 0x2e || byte === 0x65 || byte === 0x45) this.fail('expected a whole number')
  }

  #literal(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.#at + i] !== word.charCodeAt(i)) this.fail('expected a value')
    }
    this.#at += word.length
  }

  #expect(byte: number, what: string): void {
    if (this.#peek() !== byte) this.fail(`expected ${what}`)
    this.#at++
  }

  /** The next byte that is no whitespace, without taking it; `undefined` at the end. */
  #peek(): number | undefined {
    for (;;) {
      const byte = this.#bytes[this.#at]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte
      this.#at++
    }
  }
}
