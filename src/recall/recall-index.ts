/**
 * An index over the entries of a log: beside the chain and never in it, made of the log alone,
 * so that it can be dropped and made again at any time.
 *
 * It finds entries by their words, by a vector, or by both, and answers only with entries that
 * the log still has: what it found is looked up there, and hashed, in the same call.
 *
 * @module
 */
import { checkCount, quote } from '#shared'
import type { Backend, Dialect, Entry, LogHead } from '../index.ts'
import { type EntryRow, writeRows } from './entry-rows.ts'
import { IndexDefinitionError } from './errors.ts'
import { IndexCursor, type PendingSelection } from './index-cursor.ts'
import { textOf } from './message-text.ts'
import { PostgresTables } from './postgres/tables.ts'
import type { Found, IndexStatus, Question, RecallOptions } from './question.ts'
import {
  addDefinition,
  checkDefinition,
  checkSame,
  checkVectors,
  currentDefinition,
  ensureRegistry,
  findDefinition,
  getDefinition,
  idOf,
  indexNames,
  lockRegistry,
  newEpoch,
  shareRegistry,
} from './registry.ts'
import { search } from './search.ts'
import { Selected } from './selection.ts'
import { SqliteTables } from './sqlite/tables.ts'
import type { Definition, IndexTables, VectorDefinition } from './tables.ts'
import { toVector, type VectorLike } from './vectors.ts'
import { askedWords, wordsOf } from './words.ts'

const DEFAULT_K = 10
const MOST_K = 1_000

/**
 * A named index.
 *
 * @example
 * ```ts
 * const turns = RecallIndex.create(db, 'turns')
 * turns.index(turns.pending())
 * const { hits } = turns.search({ text: 'why does the login test fail' })
 * ```
 */
export class RecallIndex {
  readonly #db: Backend
  readonly #options: RecallOptions
  #definition: Definition
  #tables: IndexTables
  #cursor: IndexCursor

  private constructor(db: Backend, definition: Definition, options: RecallOptions) {
    this.#db = db
    this.#definition = definition
    this.#options = options
    this.#cursor = new IndexCursor(db, definition)
    this.#tables = tablesOf(db, definition, options)
  }

  /** Create the list of indexes where it is missing. Idempotent. @throws SchemaError. */
  static ensureSchema(db: Backend): void {
    ensureRegistry(db)
  }

  /**
   * Create an index, or open the one of this name, which must be for the same.
   * @param vectors The vectors that it is for; left out, it knows words alone.
   * @throws IndexDefinitionError when there is another one of this name.
   * @throws IndexVersionError when it is stored in another way.
   * @throws ExtensionError when the database lacks what it takes.
   */
  static create(
    db: Backend,
    name: string,
    {
      vectors,
      ...options
    }: RecallOptions & { readonly vectors?: VectorDefinition | undefined } = {},
  ): RecallIndex {
    checkVectors(vectors)
    ensureRegistry(db)
    return db.transaction(() => {
      lockRegistry(db)
      const found = findDefinition(db, name)
      if (found !== undefined) {
        checkSame(found, vectors)
        return new RecallIndex(db, found, options)
      }
      const index = new RecallIndex(db, addDefinition(db, name, vectors), options)
      index.#tables.create()
      return index
    })
  }

  /**
   * Open an index that was created before.
   * @param expected What the caller takes it to be for.
   * @throws UnknownIndexError. @throws IndexVersionError. @throws IndexDefinitionError.
   */
  static open(
    db: Backend,
    name: string,
    {
      vectors,
      ...options
    }: RecallOptions & { readonly vectors?: Partial<VectorDefinition> | undefined } = {},
  ): RecallIndex {
    const definition = getDefinition(db, name)
    checkDefinition(definition, vectors ?? {})
    return new RecallIndex(db, definition, options)
  }

  /**
   * Remove an index and its tables, whatever version of this package made it. The log stays as
   * it is.
   * @throws UnknownIndexError.
   */
  static drop(db: Backend, name: string): void {
    db.transaction(() => {
      const definition = { name, id: idOf(db, name), vectors: undefined }
      lockRegistry(db)
      tablesOf(db, definition, {}).drop()
      db.exec('DELETE FROM _agent_store_recall WHERE name = ?', [name])
    })
  }

  /** The names of the indexes. */
  static names(db: Backend): string[] {
    return indexNames(db)
  }

  get name(): string {
    return this.#definition.name
  }

  /** The store that it is in. */
  get db(): Backend {
    return this.#db
  }

  /** What its vectors are; `undefined` where it has none. */
  get vectors(): VectorDefinition | undefined {
    return this.#definition.vectors
  }

  /** The text of a payload, as this index takes it. */
  textOf(payload: Uint8Array): string | undefined {
    const text = (this.#options.textOf ?? textOf)(payload)
    return text === undefined || text.trim() === '' ? undefined : text
  }

  /**
   * Take in entries, all or none, and move the cursor past those that follow it. An entry that
   * is in already counts once; one that says nothing is passed over.
   * @param vectors One for each entry; `null` for an entry that has none.
   * @returns how many rows were written.
   * @throws RangeError for vectors of other dimensions, not finite, or without a direction.
   * @throws IndexDefinitionError for another model's.
   * @throws IndexCursorError when the log is not the one that was indexed before.
   * @throws UnknownIndexError when the index was dropped meanwhile.
   */
  index(
    entries: Iterable<Entry>,
    vectors?: readonly (VectorLike | null)[],
    { model }: { readonly model?: string | undefined } = {},
  ): number {
    const all = [...entries]
    const definition = this.#definition.vectors
    if (model !== undefined) checkDefinition(this.#definition, { model })
    if (vectors !== undefined && definition === undefined) {
      throw new IndexDefinitionError(this.name, 'dimensions', vectors[0]?.length, undefined)
    }
    if (vectors !== undefined && vectors.length !== all.length) {
      throw new RangeError(
        `vectors must be as many as the entries, ${all.length}, got ${vectors.length}`,
      )
    }
    const rows = all.map((entry, i): EntryRow => {
      const vector = vectors?.[i]
      return {
        entry,
        words: wordsOf(this.textOf(entry.payload) ?? ''),
        vector:
          vector === undefined || vector === null || definition === undefined
            ? null
            : toVector(`vectors[${i}]`, vector, definition.dimensions, definition.distance),
      }
    })
    return this.#db.transaction(() => {
      shareRegistry(this.#db)
      this.#refresh()
      return writeRows(this.#tables, this.#cursor, rows)
    })
  }

  /**
   * The entries that the index has not come to yet, log by log, each in its order; lazily.
   * @throws IndexCursorError when a log is not the one that was indexed.
   */
  *pending(selection: PendingSelection = {}): Generator<Entry> {
    this.#refresh()
    yield* this.#cursor.pending(selection)
  }

  /** How far it has come, in each log: for `follow(db, { after: index.cursor() })`. */
  cursor(): LogHead[] {
    this.#refresh()
    return this.#cursor.heads()
  }

  /**
   * Find entries.
   * @throws TypeError, RangeError for a question that cannot be asked: neither text nor vector,
   * empty text, a vector of other dimensions, not finite or without a direction, `k` out of range.
   * @throws IndexDefinitionError for a vector of another model, or where the index has none.
   */
  search(question: Question): Found {
    const { text, vector, model, k = DEFAULT_K } = question
    checkCount('k', k, 1, MOST_K)
    const words = text === undefined ? undefined : askedWords(toText(text))
    const asked = this.#toVector(vector, model)
    if (words === undefined && asked === undefined) {
      throw new TypeError('a question must have a text, a vector, or both')
    }
    const selected = new Selected(question)
    const isLasting = !this.#db.inTransaction
    return this.#db.snapshot(() => {
      this.#refresh()
      return search(this.#db, this.#tables, { words, vector: asked, selected, k, isLasting })
    })
  }

  /** How it stands. */
  status(): IndexStatus {
    return this.#db.snapshot(() => {
      const known = this.cursor()
      const { entries, vectors } = this.#tables.counts()
      const behind = this.#cursor.behind()
      return {
        name: this.name,
        vectors: this.vectors,
        entries,
        withVector: vectors,
        logs: known.length,
        behind,
      }
    })
  }

  /**
   * Put in order what grew piece by piece, where that pays: after much was indexed. On Postgres
   * it lays the graph over the vectors that are there, for which others wait with their indexing.
   */
  optimize(): void {
    this.#refresh()
    this.#tables.optimize()
  }

  /** Empty it, so that all entries are pending again: how it is rebuilt, and how rows go. */
  clear(): void {
    this.#db.transaction(() => {
      lockRegistry(this.#db)
      this.#refresh()
      this.#tables.drop()
      this.#tables.create()
      this.#db.exec('UPDATE _agent_store_recall SET epoch = ? WHERE name = ?', [
        newEpoch(),
        this.name,
      ])
    })
  }

  /**
   * If another process dropped and recreated the index, use the new one.
   * @throws UnknownIndexError. @throws IndexVersionError. @throws IndexDefinitionError where it is
   * for other vectors now.
   */
  #refresh(): void {
    const found = currentDefinition(this.#db, this.#definition)
    if (found.id === this.#definition.id) return
    this.#definition = found
    this.#cursor = new IndexCursor(this.#db, found)
    this.#tables = tablesOf(this.#db, found, this.#options)
  }

  #toVector(vector: VectorLike | undefined, model: string | undefined): Float32Array | undefined {
    if (model !== undefined) checkDefinition(this.#definition, { model })
    if (vector === undefined) return undefined
    const { vectors } = this.#definition
    if (vectors === undefined) {
      throw new IndexDefinitionError(this.name, 'dimensions', vector.length, undefined)
    }
    return toVector('vector', vector, vectors.dimensions, vectors.distance)
  }
}

const TABLES: Readonly<
  Record<Dialect, (db: Backend, definition: Definition, options: RecallOptions) => IndexTables>
> = {
  sqlite: (db, definition, { cacheBytes }) => new SqliteTables(db, definition, cacheBytes),
  postgres: (db, definition) => new PostgresTables(db, definition),
}

function tablesOf(db: Backend, definition: Definition, options: RecallOptions): IndexTables {
  return TABLES[db.dialect](db, definition, options)
}

function toText(text: unknown): string {
  if (typeof text !== 'string') throw new TypeError(`text must be a string, got ${quote(text)}`)
  if (text.trim() === '') throw new RangeError('text must not be empty')
  return text.toWellFormed()
}
