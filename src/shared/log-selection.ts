/**
 * Which logs a caller means: those of a stream, of several, of all streams with a prefix, or of
 * the whole store; of all writers, or of one.
 *
 * @module
 */
import { checkText } from '../contract/arguments.ts'
import { quote } from '../contract/errors.ts'

/** Which logs, as a caller says it; all of them where nothing is said. */
export interface LogSelection {
  readonly stream?: string | readonly string[] | undefined
  readonly prefix?: string | undefined
  readonly writer?: string | undefined
}

/** A selection that was checked. */
export interface SelectedNames {
  /** `undefined` for all streams that start with `prefix`. */
  readonly streams: readonly string[] | undefined
  readonly prefix: string
  /** `undefined` for all writers. */
  readonly writer: string | undefined
}

/** @throws TypeError for names that cannot be stored, or for `stream` and `prefix` together. */
export function checkSelection({ stream, prefix, writer }: LogSelection): SelectedNames {
  let streams: readonly string[] | undefined
  if (stream !== undefined) {
    streams = typeof stream === 'string' ? [stream] : [...stream]
    for (const name of streams) checkText('stream', name)
    if (prefix !== undefined) {
      throw new TypeError(`stream and prefix exclude each other, got ${quote(prefix)} as well`)
    }
  }
  if (prefix !== undefined) checkText('prefix', prefix)
  if (writer !== undefined) checkText('writer', writer)
  return { streams, prefix: prefix ?? '', writer }
}
