/**
 * The head of each log as this process last knew it. A head is only ever a guess: the statement that
 * uses it checks it, so a rollback or another writer can make it useless, not wrong.
 *
 * @module
 */
import type { Backend } from '../contract/backend.ts'
import type { Head, LogHead } from '../contract/entry.ts'
import { BoundedMap } from './bounded-map.ts'
import { sameBytes } from './bytes.ts'
import { logKey } from './log-key.ts'

/** Logs remembered for each backend; about 4 MiB. */
const KEPT = 16_384

/** A head as it was last seen. */
export interface GuessedHead extends Head {
  /** The last head that is known to be committed: a guess made inside a transaction is not. */
  readonly acknowledged: Head | undefined
}

interface KnownHead extends GuessedHead {
  acknowledged: Head | undefined
}

const guesses = new WeakMap<Backend, BoundedMap<string, KnownHead>>()

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
  const key = logKey(head)
  const { seq, contentHash } = head
  // The entry's own array is the caller's to change.
  const known: KnownHead = { seq, contentHash: contentHash.slice(), acknowledged: undefined }
  known.acknowledged = committed ? known : heads.get(key)?.acknowledged
  heads.set(key, known)
}

/** A head that was remembered in a transaction is committed. */
export function confirmHead(db: Backend, { stream, writer, seq, contentHash }: LogHead): void {
  const known = guesses.get(db)?.get(logKey({ stream, writer }))
  if (known === undefined || (known.acknowledged?.seq ?? 0n) >= seq) return
  const isLast = known.seq === seq && sameBytes(known.contentHash, contentHash)
  known.acknowledged = isLast ? known : { seq, contentHash: contentHash.slice() }
}

/** The caller itself has changed stored entries by this backend: nothing is known of any head. */
export function forgetHeads(db: Backend): void {
  guesses.delete(db)
}
