/**
 * Entries by batches: full ones of what is there, and smaller ones where no more come for a while.
 *
 * @module
 */
import type { Entry } from '../index.ts'

/** How large a batch is, and how long it waits. */
export interface Batching {
  /** Entries. */
  readonly batch: number
  /** How long one that is not full waits for more, in ms. */
  readonly lingerMs: number
  /** Ends it, with its reason thrown. */
  readonly signal?: AbortSignal | undefined
}

/** Entries by so many; fewer where no more come for a while. */
export async function* batchesOf(
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  { batch, lingerMs, signal }: Batching,
): AsyncGenerator<readonly Entry[], void, undefined> {
  const source =
    Symbol.asyncIterator in entries ? entries[Symbol.asyncIterator]() : entries[Symbol.iterator]()
  const isLive = Symbol.asyncIterator in entries
  let list: Entry[] = []
  let pending: Promise<IteratorResult<Entry>> | undefined
  try {
    for (;;) {
      signal?.throwIfAborted()
      let next: IteratorResult<Entry> | undefined
      if (isLive) {
        pending ??= Promise.resolve(source.next())
        next = await within(pending, list.length > 0 ? lingerMs : undefined, signal)
      } else next = await source.next()
      if (next !== undefined) {
        pending = undefined
        if (next.done === true) break
        list.push(next.value)
      }
      if (list.length >= batch || (next === undefined && list.length > 0)) {
        yield list
        list = []
      }
    }
    if (list.length > 0) yield list
  } finally {
    // One that is still waiting for an entry ends when it has been told to.
    if (pending === undefined) await source.return?.()
    else void Promise.resolve(source.return?.()).catch(() => undefined)
  }
}

/** What `promise` gives, or `undefined` after so long; nothing is left waiting behind. */
function within<T>(
  promise: Promise<T>,
  ms: number | undefined,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const end = <V>(settle: (value: V) => void) => {
      return (value: V) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', stop)
        settle(value)
      }
    }
    const stop = () => end(reject)(signal?.reason)
    const timer = ms === undefined ? undefined : setTimeout(end(resolve), ms, undefined)
    signal?.addEventListener('abort', stop, { once: true })
    promise.then(end(resolve), end(reject))
  })
}
