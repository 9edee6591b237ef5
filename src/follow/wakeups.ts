/**
 * Learns that something may have been committed in one database, and tells all who
 * follow it in this process.
 *
 * It learns of its own connection's commits at once, of others' where the backend can tell
 * (`Backend.watch`), from the bells that are handed to it, and, as the safety net, by looking
 * once in each polling interval. However many follow, one of them looks. A bell is only a
 * hint: what was committed is asked of the database.
 *
 * A file is heard being written to before it is flushed, and a commit is seen after that. So a
 * ring that nothing is found for is followed by further looks for a moment, ever more seldom.
 *
 * @module
 */
import { type Backend, Doorbell, FileReplacedError, StoreError } from '../index.ts'
import { Changes, type News } from './changes.ts'

/** Who follows. */
export interface Follower {
  /** At most so many milliseconds pass between two looks. */
  readonly pollMs: number
  /** Whether it waits for news now: then the process is kept alive. */
  isWaiting(): boolean
  /** The logs that may have grown; `undefined` for any. */
  hear(news: readonly News[] | undefined): void
  /** The database could not be asked, or is not the one that was opened. */
  trouble(error: StoreError): void
}

/** For how long a commit is expected behind a ring, in ms. */
const EXPECTED_MS = 250
/** How long to wait between two looks for it, in ms, and as a share of how long it was waited. */
const SOON_MS = 1
const SHARE = 0.35

const perBackend = new WeakMap<Backend, Wakeups>()

/** The wakeups of a database. */
export class Wakeups {
  readonly #db: Backend
  readonly #followers = new Set<Follower>()
  readonly #changes: Changes
  readonly #bell = new Doorbell()
  #untie: (() => void) | undefined
  #unwatch: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #looking: NodeJS.Immediate | undefined
  #again: NodeJS.Timeout | undefined
  #expectedSince: number | undefined

  private constructor(db: Backend) {
    this.#db = db
    this.#changes = new Changes(db)
    this.#bell.subscribe((event) => this.#ringHere(event))
  }

  static of(db: Backend): Wakeups {
    let wakeups = perBackend.get(db)
    if (wakeups === undefined) {
      wakeups = new Wakeups(db)
      perBackend.set(db, wakeups)
    }
    return wakeups
  }

  join(follower: Follower): void {
    this.#followers.add(follower)
    if (this.#followers.size === 1) {
      this.#untie = this.#bell.tie(this.#db)
      this.#watch()
    }
    this.#arm()
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower)
    if (this.#followers.size > 0) {
      this.#arm()
      return
    }
    this.#untie?.()
    this.#unwatch?.()
    this.#unwatch = undefined
    clearTimeout(this.#timer)
    clearImmediate(this.#looking)
    clearTimeout(this.#again)
    this.#timer = undefined
    this.#looking = undefined
    this.#expectedSince = undefined
  }

  /** Somebody says that a log has grown, or that any may have. */
  ring(event?: News): void {
    if (event !== undefined) {
      for (const follower of this.#followers) follower.hear([event])
    } else if (this.#followers.size > 0) {
      this.#expectedSince = performance.now()
      // However many rings come in one turn of the event loop, one look answers them.
      this.#looking ??= setImmediate(() => this.#look())
    }
  }

  /** A follower began to wait, or ceased to: the timer alone keeps the process alive. */
  waitingChanged(): void {
    for (const follower of this.#followers) {
      if (follower.isWaiting()) {
        this.#timer?.ref()
        return
      }
    }
    this.#timer?.unref()
  }

  /** What this very database tells needs no comparison with what it has. */
  #ringHere(event?: News): void {
    if (event === undefined) this.ring()
    else this.ring({ stream: event.stream, writer: event.writer, seq: event.seq })
  }

  /** At the next look everybody is told, whether anything has changed or not. */
  forget(): void {
    this.#changes.forget()
  }

  #watch(): void {
    try {
      this.#unwatch = this.#db.watch?.(
        (event) => this.#ringHere(event),
        (reason) => {
          this.#unwatch = undefined
          // Else it is tried again at the next look.
          if (reason instanceof FileReplacedError) this.#tellTrouble(reason)
          else this.ring()
        },
      )
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
    }
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const pollMs = Math.min(...[...this.#followers].map((follower) => follower.pollMs))
    this.#timer = setTimeout(() => this.#look(), pollMs)
    this.waitingChanged()
  }

  #look(): void {
    clearImmediate(this.#looking)
    this.#looking = undefined
    try {
      if (this.#unwatch === undefined) this.#watch()
      // In somebody's open transaction it would see what may be rolled back.
      if (!this.#db.inTransaction) {
        const news = this.#changes.look()
        if (news === undefined || news.length > 0) {
          this.#expectedSince = undefined
          for (const follower of this.#followers) follower.hear(news)
        }
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#tellTrouble(error)
    }
    this.#timer?.refresh()
    this.#lookAgain()
  }

  #lookAgain(): void {
    clearTimeout(this.#again)
    if (this.#expectedSince === undefined) return
    const waitedMs = performance.now() - this.#expectedSince
    if (waitedMs > EXPECTED_MS) this.#expectedSince = undefined
    else {
      this.#again = setTimeout(() => this.#look(), Math.max(SOON_MS, SHARE * waitedMs)).unref()
    }
  }

  #tellTrouble(error: StoreError): void {
    for (const follower of this.#followers) follower.trouble(error)
  }
}
