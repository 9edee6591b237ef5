/**
 * Which logs are followed: those of a stream, of several, of all streams with a prefix, or of
 * the whole store; of all writers, or of one.
 *
 * @module
 */
import { checkSelection, type LogName, type SelectedNames } from '#shared'
import { type Backend, type LogHead, WriterLog } from '../index.ts'

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
  readonly #names: SelectedNames
  readonly #streams: ReadonlySet<string> | undefined

  /** @throws TypeError for names that cannot be stored, or for `stream` and `prefix` together. */
  constructor(selection: Selection) {
    this.#names = checkSelection(selection)
    const { streams } = this.#names
    this.#streams = streams && new Set(streams)
  }

  has(log: LogName): boolean {
    const { writer = log.writer, prefix } = this.#names
    return (
      log.writer === writer && (this.#streams?.has(log.stream) ?? log.stream.startsWith(prefix))
    )
  }

  /** How far each of the logs reaches now. */
  heads(db: Backend): LogHead[] {
    const { prefix, writer: only } = this.#names
    const streams = this.#streams ?? WriterLog.streams(db, { prefix })
    const heads: LogHead[] = []
    for (const stream of streams) {
      if (only === undefined) heads.push(...WriterLog.heads(db, stream))
      else {
        const head = WriterLog.head(db, stream, only)
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
 * How far the selected logs reach now: the cursor of a reader that wants only what comes from here on.
 *
 * @example
 * ```ts
 * follow(db, { stream: 'conv:demo', after: headsOf(db, { stream: 'conv:demo' }) })
 * ```
 */
export function headsOf(db: Backend, selection: Selection = {}): LogHead[] {
  return new SelectedLogs(selection).heads(db)
}
