/**
 * Text as a database stores it: bytes that are to be UTF-8.
 *
 * @module
 */
import { MalformedRowError, quote } from '../contract/errors.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Stored bytes as text. @throws MalformedRowError when they are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new MalformedRowError(
      `stored text is not valid UTF-8: ${quote(Buffer.from(bytes).toString('latin1'))}`,
      { cause },
    )
  }
}
