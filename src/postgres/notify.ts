/**
 * Telling who listens on a server what was committed, and reading what others tell.
 *
 * It is told after the commit and not by it: a transaction that notifies holds a lock of the
 * whole database until its commit is flushed, so that writers would flush one after the other.
 * What is committed in one turn of the event loop is told at once, each log once. A bell is a
 * hint: what cannot be told is not told again, and whoever follows looks by itself as well.
 *
 * @module
 */
import { logKey } from '#shared'
import {
  type Backend,
  type CommitEvent,
  commitEventFromJson,
  commitEventToJson,
  Doorbell,
  StoreError,
} from '../index.ts'

/** The channel of the server that commits are told on. */
export const CHANNEL = 'agent_store'
/** What notifies a channel. */
export const NOTIFY = 'SELECT pg_notify(?, ?)'

/** PostgreSQL takes fewer than 8,000 bytes. */
const MOST_BYTES = 7_999
/** A ring without an event: any log may have grown. */
const ANY = ''

/** Tells of the commits of one backend. */
export class Announcer {
  readonly #tell: (payload: string) => void
  readonly #latest = new Map<string, CommitEvent>()
  readonly #bell = new Doorbell()
  #soon: NodeJS.Immediate | undefined

  /** @param tell Notifies the channel, without a wait for the answer where it can. */
  constructor(db: Backend, tell: (payload: string) => void) {
    this.#tell = tell
    this.#bell.tie(db)
    this.#bell.subscribe((event) => {
      this.#latest.set(logKey(event), event)
      this.#soon ??= setImmediate(() => this.flush())
    })
  }

  /** Tell what was not told yet. */
  flush(): void {
    clearImmediate(this.#soon)
    this.#soon = undefined
    if (this.#latest.size === 0) return
    const payload = toPayload([...this.#latest.values()])
    this.#latest.clear()
    try {
      this.#tell(payload)
    } catch (error) {
      // The entries are stored, and found by looking; a lost connection shows at the next call.
      if (!(error instanceof StoreError)) throw error
    }
  }
}

function toPayload(events: readonly CommitEvent[]): string {
  const payload = JSON.stringify(events.map(commitEventToJson))
  return Buffer.byteLength(payload) <= MOST_BYTES ? payload : ANY
}

/** What a notification tells; none where it is not one of ours, so that any log may have grown. */
export function eventsOf(payload: string): readonly CommitEvent[] {
  try {
    const told: unknown = JSON.parse(payload)
    return Array.isArray(told) ? told.map(commitEventFromJson) : []
  } catch {
    return []
  }
}
