/**
 * A payload as a caller gives it, as bytes of our own.
 *
 * @module
 */
import { checkBytes } from '../contract/arguments.ts'
import { quote } from '../contract/errors.ts'

/** A copy: the caller may go on using its buffer, and another thread may write to it. */
export function toPayload(argument: string, payload: unknown): Uint8Array {
  if (typeof payload === 'string') {
    if (payload.isWellFormed()) return plain(Buffer.from(payload))
    throw new TypeError(
      `${argument} holds a lone surrogate, which UTF-8 has no form for: ${quote(payload)}`,
    )
  }
  checkBytes(`${argument} (a string or bytes)`, payload)
  if (payload.length === 0) checkAttached(argument, payload)
  return plain(Buffer.from(payload))
}

/** An array whose buffer went to another thread, or shrank, has no bytes and would pass for empty. */
function checkAttached(argument: string, payload: Uint8Array): void {
  try {
    new Uint8Array(payload)
  } catch (cause) {
    throw new TypeError(`${argument} lies in a buffer that was transferred or shrunk`, { cause })
  }
}

/**
 * The bytes of a fresh Buffer. Small ones are cut from Node's pool, which costs a fifth of an
 * array of its own: V8 keeps none above 64 bytes in its heap.
 */
function plain({ buffer, byteOffset, length }: Buffer<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length)
}
