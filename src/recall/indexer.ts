/**
 * Keeping an index up with its log: entries are taken as they come, their texts embedded in
 * batches, and the rows stored in the transaction that moves the index's cursor.
 *
 * Killed at any moment, it has lost nothing and doubled nothing: what was not committed is
 * pending again. Entries are taken no faster than they are embedded.
 *
 * @module
 */
import { setTimeout } from 'node:timers/promises'
import { checkCount, quote } from '#shared'
import type { Entry } from '../index.ts'
import { batchesOf } from './batches.ts'
import type { Embedder } from './embedder.ts'
import { EmbeddingError, IndexDefinitionError } from './errors.ts'
import type { RecallIndex } from './recall-index.ts'
import { toVector, type VectorLike } from './vectors.ts'

/** How to index. */
export interface IndexingOptions {
  /** What makes the vectors; needed where the index has any. */
  readonly embedder?: Embedder | undefined
  /** Entries in one transaction and at most so many texts in one call, up to 10,000. Default 64. */
  readonly batch?: number | undefined
  /** Calls of `embed` at a time, up to 64. Default 1. */
  readonly concurrency?: number | undefined
  /** How often a call that failed is made again before it is given up. Default 5. */
  readonly retries?: number | undefined
  /** Pause before the first time again, in ms; it doubles each time. Default 250. */
  readonly retryMs?: number | undefined
  /** How long a batch that is not full waits for more, in ms. Default 50. */
  readonly lingerMs?: number | undefined
  /** Ends it; what is not committed yet is pending the next time. */
  readonly signal?: AbortSignal | undefined
  /** Called after each commit. */
  readonly onProgress?: ((progress: IndexingProgress) => void) | undefined
  /** Called before a pause, with what has failed. */
  readonly onRetry?: ((error: unknown, attempt: number) => void) | undefined
}

/** What was done since the call. */
export interface IndexingProgress {
  /** Entries that were gone through. */
  readonly entries: number
  /** Rows that were written: of entries that say something, and were not in yet. */
  readonly written: number
}

const BATCH = 64
const MOST_BATCH = 10_000
const MOST_CONCURRENCY = 64
const RETRIES = 5
const RETRY_MS = 250
const MOST_RETRY_MS = 30_000
const LINGER_MS = 50
/** Characters of one text that are given to a model; its own limit is most often lower. */
const MOST_EMBEDDED = 100_000

/**
 * Index `entries`, in their order.
 * @param entries What is to be indexed: `index.pending()` for what there is now, or
 * `follow(db, { after: index.cursor() })` for that and all that comes.
 * @returns when there are no more.
 * @throws EmbeddingError when `embed` has failed too often, or gave too few or bad vectors.
 * @throws IndexDefinitionError when the embedder is of another model than the index.
 * @throws the signal's reason, when it has aborted; else as {@link RecallIndex.index}.
 *
 * @example
 * ```ts
 * await keepIndexed(index, follow(db, { after: index.cursor() }), { embedder })
 * ```
 */
export async function keepIndexed(
  index: RecallIndex,
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  options: IndexingOptions = {},
): Promise<IndexingProgress> {
  const settings = settle(index, options)
  const { signal, concurrency, onProgress } = settings
  const progress = { entries: 0, written: 0 }
  const ended = new AbortController()
  const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
  const batches = batchesOf(entries, { ...settings, signal: stop })[Symbol.asyncIterator]()
  /** In the order of their commits. Those behind the first one are embedded meanwhile. */
  const waiting: Promise<Embedded>[] = []
  const commitFirst = async () => {
    const first = waiting.shift()
    if (first === undefined) return
    const { batch, vectors } = await first
    signal?.throwIfAborted()
    const model = settings.embedder?.model
    progress.written += index.index(batch, vectors, model === undefined ? {} : { model })
    progress.entries += batch.length
    onProgress?.({ ...progress })
  }
  try {
    for (let next = batches.next(); ; next = batches.next()) {
      // A batch that is ready is not kept waiting for one that may take long to come.
      const { done, value } = await nextWhile(next, waiting, commitFirst)
      if (done === true) break
      const embedded = embed(index, value, settings, stop)
      embedded.catch(() => undefined) // It is thrown when its turn comes.
      waiting.push(embedded)
      while (waiting.length >= concurrency) await commitFirst()
    }
    while (waiting.length > 0) await commitFirst()
    return { ...progress }
  } finally {
    ended.abort()
    await batches.return?.(undefined)
  }
}

interface Embedded {
  readonly batch: readonly Entry[]
  readonly vectors: readonly (VectorLike | null)[] | undefined
}

interface Settings extends IndexingOptions {
  readonly batch: number
  readonly concurrency: number
  readonly retries: number
  readonly retryMs: number
  readonly lingerMs: number
}

function settle(index: RecallIndex, options: IndexingOptions): Settings {
  const { batch = BATCH, concurrency = 1, retries = RETRIES } = options
  const { retryMs = RETRY_MS, lingerMs = LINGER_MS, embedder } = options
  checkCount('batch', batch, 1, MOST_BATCH)
  checkCount('concurrency', concurrency, 1, MOST_CONCURRENCY)
  checkCount('retries', retries, 0, 1_000)
  checkCount('retryMs', retryMs, 0, MOST_RETRY_MS)
  checkCount('lingerMs', lingerMs, 0, 60_000)
  if (embedder?.model !== index.vectors?.model) {
    throw new IndexDefinitionError(index.name, 'model', embedder?.model, index.vectors?.model)
  }
  return { ...options, batch, concurrency, retries, retryMs, lingerMs }
}

async function nextWhile<T>(
  next: Promise<T>,
  waiting: readonly Promise<unknown>[],
  commitFirst: () => Promise<void>,
): Promise<T> {
  const arrived = next.then(
    () => true,
    () => true,
  )
  for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
    const settled = first.then(
      () => false,
      () => false,
    )
    if (await Promise.race([arrived, settled])) break
    await commitFirst()
  }
  return await next
}

async function embed(
  index: RecallIndex,
  batch: readonly Entry[],
  settings: Settings,
  signal: AbortSignal,
): Promise<Embedded> {
  const { embedder } = settings
  if (embedder === undefined) return { batch, vectors: undefined }
  const texts = batch.map(({ payload }) => index.textOf(payload)?.slice(0, MOST_EMBEDDED))
  const said = texts.filter((text) => text !== undefined)
  const found: VectorLike[] = []
  const most = Math.max(embedder.mostTexts ?? said.length, 1)
  for (let at = 0; at < said.length; at += most) {
    const some = said.slice(at, at + most).map((text) => text.toWellFormed())
    found.push(...(await embedPatiently(embedder, some, settings, signal)))
  }
  checkFound(index, embedder, found)
  let at = 0
  return {
    batch,
    vectors: texts.map((text) => (text === undefined ? null : (found[at++] ?? null))),
  }
}

async function embedPatiently(
  embedder: Embedder,
  texts: readonly string[],
  { retries, retryMs, onRetry }: Settings,
  signal: AbortSignal,
): Promise<readonly VectorLike[]> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    let vectors: readonly VectorLike[]
    try {
      vectors = await embedder.embed(texts, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (attempt > retries) {
        const message = error instanceof Error ? error.message : String(error)
        throw new EmbeddingError(
          `embed of model ${quote(embedder.model)} failed ${attempt} times, at last with: ${message}; ` +
            'what was not embedded is pending, index again when it works',
          { cause: error },
        )
      }
      onRetry?.(error, attempt)
      const pause = Math.min(retryMs * 2 ** (attempt - 1), MOST_RETRY_MS)
      await setTimeout(pause, undefined, { signal }).catch(() => signal.throwIfAborted())
      continue
    }
    if (Array.isArray(vectors) && vectors.length === texts.length) return vectors
    const got = Array.isArray(vectors) ? `${vectors.length} vectors` : quote(vectors)
    throw new EmbeddingError(
      `embed of model ${quote(embedder.model)} was given ${texts.length} texts, and gave ${got}`,
    )
  }
}

/** What a model gives is no argument of the caller's. */
function checkFound(index: RecallIndex, { model }: Embedder, found: readonly VectorLike[]): void {
  if (index.vectors === undefined) return
  const { dimensions, distance } = index.vectors
  try {
    for (const [i, vector] of found.entries())
      toVector(`vectors[${i}]`, vector, dimensions, distance)
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error
    throw new EmbeddingError(
      `embed of model ${quote(model)} gave what cannot be stored: ${error.message}`,
      { cause: error },
    )
  }
}
