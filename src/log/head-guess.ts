/**
 * What this process last knew of each log's head. A head is only ever a guess: the statement that
 * uses it checks it, so a rollback or another writer can make it useless, not wrong.
 *
 * @module
 */
import type { Backend } from '../contract/backend.ts'
import type { Head, LogHead } from '../contract/entry.ts'
import { BoundedMap } from '../shared/bounded-map.ts'
import { logKey } from '../shared/log-key.ts'

/** Logs remembered for each backend; about 4 MiB. */
const KEPT = 16_384

/** A head as it was last seen. */
export interface GuessedHead extends Head {
  /** Whether it is known to be committed: a guess made inside a transaction is not. */
  readonly committed: boolean
}

const guesses = new WeakMap<Backend, BoundedMap<string, GuessedHead>>()

/** Returns the head as last seen, if it is still remembered. */
export function guessHead(db: Backend, stream: string, writer: string): GuessedHead | undefined {
  return guesses.get(db)?.get(logKey({ stream, writer }))
}

/** Keep `head`, and whether it is committed. */
export function rememberHead(db: Backend, head: LogHead, committed: boolean): void {
  let heads = guesses.get(db)
  if (heads === undefined) {
    heads = new BoundedMap(KEPT)
    guesses.set(db, heads)
  }
  // The entry's own array is the caller's to change.
  const { seq, contentHash } = head
  heads.set(logKey(head), { seq, contentHash: contentHash.slice(), committed })
}
