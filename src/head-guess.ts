/**
 * What this process last knew of each log's head. Only ever a guess: whoever uses it lets
 * the statement check it, so a rollback or another writer can make it useless, not wrong.
 *
 * @module
 */
import type { Backend } from './backend.ts'
import type { Head, LogHead } from './entry.ts'

/** Logs remembered for each backend; about 4 MiB. */
const KEPT = 16_384

/** A head as it was last seen. */
export interface GuessedHead extends Head {
  /** Whether it is known to be committed: a guess made inside a transaction is not. */
  readonly committed: boolean
}

const guesses = new WeakMap<Backend, Map<string, GuessedHead>>()

/** The head as last seen, if it is still remembered. */
export function guessHead(db: Backend, stream: string, writer: string): GuessedHead | undefined {
  return guesses.get(db)?.get(`${stream}\0${writer}`)
}

/** Keep `head`; the log that has been kept for longest makes way. */
export function rememberHead(db: Backend, { stream, writer, seq, contentHash }: LogHead): void {
  let heads = guesses.get(db)
  if (heads === undefined) {
    heads = new Map()
    guesses.set(db, heads)
  }
  const key = `${stream}\0${writer}`
  if (heads.size >= KEPT && !heads.has(key)) {
    for (const oldest of heads.keys()) {
      heads.delete(oldest)
      break
    }
  }
  // The entry's own array is the caller's to change.
  heads.set(key, { seq, contentHash: contentHash.slice(), committed: !db.inTransaction })
}
