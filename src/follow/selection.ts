/**
 * Which logs are followed: those of a stream, of several, of all streams with a prefix, or of
 * the whole store; of all writers, or of one.
 *
 * @module
 */
import { type Backend, checkText, type LogHead, quote, WriterLog } from '../index.ts'

/** Which logs; all of them where nothing is said. */
export interface Selection {
  /** One stream, or several. */
  readonly stream?: string | readonly string[]
  /** All streams whose name starts with this; not together with `stream`. */
  readonly prefix?: string
  /** Of this writer alone. */
  readonly writer?: string
}

/** A selection that was checked. */
export class SelectedLogs {
  readonly #streams: ReadonlySet<string> | undefined
  readonly #prefix: string
  readonly #writer: string | undefined

  /** @throws TypeError for names that cannot be stored, or for `stream` and `prefix` together. */
  constructor({ stream, prefix, writer }: Selection) {
    if (stream !== undefined) {
      const streams = typeof stream === 'string' ? [stream] : [...stream]
      for (const name of streams) checkText('stream', name)
      if (prefix !== undefined) {
        throw new TypeError(`stream and prefix exclude each other, got ${quote(prefix)} as well`)
      }
      this.#streams = new Set(streams)
    }
    if (prefix !== undefined) checkText('prefix', prefix)
    if (writer !== undefined) checkText('writer', writer)
    this.#prefix = prefix ?? ''
    this.#writer = writer
  }

  has({ stream, writer }: { readonly stream: string; readonly writer: string }): boolean {
    if (this.#writer !== undefined && writer !== this.#writer) return false
    return this.#streams?.has(stream) ?? stream.startsWith(this.#prefix)
  }

  /** How far each of the logs reaches now. */
  heads(db: Backend): LogHead[] {
    const streams = this.#streams ?? WriterLog.streams(db, { prefix: this.#prefix })
    const heads: LogHead[] = []
    for (const stream of streams) {
      if (this.#writer === undefined) heads.push(...WriterLog.heads(db, stream))
      else {
        const head = WriterLog.head(db, stream, this.#writer)
        if (head !== null) {
          const { writer, seq, contentHash } = head
          heads.push({ stream, writer, seq, contentHash })
        }
      }
    }
    return heads
  }
}

/**
 * How far the selected logs reach now: the cursor of who wants only what comes from here on.
 *
 * @example
 * ```ts
 * follow(db, { stream: 'conv:demo', after: headsOf(db, { stream: 'conv:demo' }) })
 * ```
 */
export function headsOf(db: Backend, selection: Selection = {}): LogHead[] {
  return new SelectedLogs(selection).heads(db)
}

/** The name of a log as one text: no name holds a NUL. */
export function keyOf({ stream, writer }: { readonly stream: string; readonly writer: string }) {
  return `${stream}\0${writer}`
}
