/**
 * The key of a log in a map of this process. No name holds a NUL, so no two logs share a key.
 *
 * @module
 */
import type { LogName } from '../contract/entry.ts'

/** Returns the key of the log of `stream` and `writer`. */
export function logKey({ stream, writer }: LogName): string {
  return `${stream}\0${writer}`
}
