/**
 * What to follow, from where, and how.
 *
 * @module
 */
import type { CommitEvent, LogHead, StoreError } from '../index.ts'
import type { Consumer } from './consumer.ts'
import type { ForkError } from './errors.ts'
import type { Selection } from './selection.ts'

/**
 * Something that rings when a log may have grown: a `Doorbell`, or what carries one from
 * elsewhere. A ring without an event says that any log may have.
 */
export interface Bell {
  subscribe(ring: (event?: CommitEvent) => void): () => void
}

/** How to follow. */
export interface FollowOptions extends Selection {
  /**
   * Only what is past this: heads of logs, as `WriterLog.heads`, `headsOf` and
   * `Following.cursor` give them, or the cursor of a consumer. Logs that it does not name are
   * followed from their beginning. Default: from the beginning.
   */
  readonly after?: readonly LogHead[] | Consumer
  /** Go on for what comes. Default `true`; else it ends where the logs end. */
  readonly live?: boolean
  /** Recompute the chain as it goes. Default `false`: seqs and the link to the cursor are checked. */
  readonly verify?: boolean
  /** The database is looked at this often where no bell rings, in ms. Default 1,000. */
  readonly pollMs?: number
  /** Bells beyond those of the backend itself. */
  readonly bells?: readonly Bell[]
  /** Ends it: what waits, or else the next call, throws the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * The database cannot be asked for now: it is busy, or the connection is lost. With this,
   * following goes on when it can; without, the error ends it.
   */
  readonly onInterrupted?: (error: StoreError) => void
  /**
   * A bell announced another entry than the store has. With this, it is told once for each such
   * bell, the log is held back until both agree, and others go on; without, the error ends it.
   */
  readonly onFork?: (error: ForkError) => void
}
