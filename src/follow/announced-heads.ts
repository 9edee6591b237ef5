/**
 * What bells from elsewhere have announced, until the store can be compared with it.
 *
 * An announcement carries the hash of an entry in whatever store it was committed to. Where the
 * store at hand has another entry in that place, there are two histories of one log; where it has
 * none yet, the announcement is kept until it has.
 *
 * @module
 */
import { BoundedMap, logKey, sameBytes } from '#shared'
import { type Backend, WriterLog } from '../index.ts'
import type { News } from './changes.ts'
import { ForkError } from './errors.ts'

/** Beyond this, the oldest is let go of: then a bell is only a hint, as it is without a hash. */
const MOST = 1_024

interface Announcement extends Required<News> {
  isReported: boolean
}

/** The newest announcement of each log. */
export class AnnouncedHeads {
  readonly #newest = new BoundedMap<string, Announcement>(MOST)

  /** Keep what was announced, if it is newer than what is kept of that log. */
  add({ stream, writer, seq, contentHash }: News): void {
    if (contentHash === undefined) return
    const key = logKey({ stream, writer })
    if ((this.#newest.get(key)?.seq ?? 0n) >= seq) return
    this.#newest.set(key, { stream, writer, seq, contentHash, isReported: false })
  }

  /**
   * Compare the store with what was announced of a log behind `after`.
   * @returns the fork, and whether it is found for the first time; `undefined` for none.
   */
  forkOf(
    db: Backend,
    key: string,
    after: bigint,
  ): { readonly error: ForkError; readonly isNew: boolean } | undefined {
    const announced = this.#newest.get(key)
    if (announced === undefined) return undefined
    const { stream, writer, seq, contentHash, isReported } = announced
    if (seq <= after) {
      this.#newest.delete(key)
      return undefined
    }
    const stored = WriterLog.entry(db, stream, writer, seq)
    if (stored === null) return undefined
    if (sameBytes(stored.contentHash, contentHash)) {
      this.#newest.delete(key)
      return undefined
    }
    announced.isReported = true
    const error = new ForkError(stream, writer, { seq, contentHash }, stored)
    return { error, isNew: !isReported }
  }
}
