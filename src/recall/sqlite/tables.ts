/**
 * An index on SQLite: words in FTS5, which keeps no copy of the text, and vectors beside their
 * codes, which are scanned as a whole.
 *
 * Why no extension for the vectors: `docs/decisions/0006-exact-search-over-codes.md`.
 *
 * @module
 */
import { type Backend, MalformedRowError } from '../../index.ts'
import { ExtensionError } from '../errors.ts'
import { type CountedWord, tellingWords, wordsInReserve } from '../postings.ts'
import { newEpoch } from '../registry.ts'
import { bestOf, byScore, countRows, ENTRY_COLUMNS, storedRows, toCandidate } from '../rows.ts'
import type { Selected } from '../selection.ts'
import type {
  Candidate,
  Definition,
  IndexTables,
  NewRow,
  StoredRow,
  VectorDefinition,
} from '../tables.ts'
import { fromFloatBytes, likeness, toFloatBytes } from '../vectors.ts'
import type { AskedWord } from '../words.ts'
import { CodeScan, type Contender, toCode } from './code-scan.ts'
import { matchOf } from './fts-query.ts'

/** The first version whose FTS5 has `contentless_delete`. */
const LEAST_VERSION = [3, 43] as const
/** Vectors that are read from the file at a time, to be compared. */
const MOST_COMPARED = 512
/** Entries that are ranked for a question, unless each of its words alone has more. */
const MOST_POSTINGS = 6_000
/** Entries with all of the words that are ranked at most, the newest ones. */
const MOST_RANKED = 20_000

/** See {@link IndexTables}. */
export class SqliteTables implements IndexTables {
  readonly #db: Backend
  readonly #definition: Definition
  readonly #name: string
  readonly #scan: CodeScan | undefined

  constructor(db: Backend, definition: Definition, cacheBytes: number | undefined) {
    this.#db = db
    this.#definition = definition
    this.#name = `_agent_store_recall_${definition.id}`
    const { vectors } = definition
    if (vectors !== undefined) {
      const { dimensions, distance } = vectors
      this.#scan = new CodeScan(db, `${this.#name}_code`, dimensions, distance, cacheBytes)
    }
  }

  create(): void {
    const hasWords = this.#db.query("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
    const version = String(this.#db.query('SELECT sqlite_version()')[0]?.[0])
    const [first = 0, second = 0] = version.split('.').map(Number)
    // Before, rows of a table without a copy of the text could not be removed.
    const isOld =
      first < LEAST_VERSION[0] || (first === LEAST_VERSION[0] && second < LEAST_VERSION[1])
    if (hasWords.length === 0 || isOld) {
      throw new ExtensionError(
        `an index needs FTS5 of SQLite ${LEAST_VERSION.join('.')} or later, and this is ${version}` +
          `${hasWords.length === 0 ? ' without FTS5' : ''}; use the one built into Node ` +
          '(SqliteBackend.open), or a driver whose SQLite has it',
      )
    }
    const name = this.#name
    this.#db.exec(
      `CREATE TABLE ${name}_log (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, writer TEXT NOT NULL,
        seq INTEGER NOT NULL, content_hash BLOB, UNIQUE (stream, writer))`,
    )
    this.#db.exec(
      `CREATE TABLE ${name}_entry (id INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL,
        seq INTEGER NOT NULL, content_hash BLOB NOT NULL, has_vector INTEGER NOT NULL,
        UNIQUE (log, seq))`,
    )
    // Words come folded, so this tokenizer only parts them at spaces.
    this.#db.exec(
      `CREATE VIRTUAL TABLE ${name}_text USING fts5(words, content='', contentless_delete=1,
        tokenize='ascii', prefix='3')`,
    )
    if (this.#definition.vectors === undefined) return
    this.#db.exec(`CREATE TABLE ${name}_vector (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)`)
    this.#db.exec(`CREATE TABLE ${name}_code (id INTEGER PRIMARY KEY, code BLOB NOT NULL)`)
  }

  drop(): void {
    for (const part of ['log', 'entry', 'text', 'vector', 'code']) {
      this.#db.exec(`DROP TABLE IF EXISTS ${this.#name}_${part}`)
    }
  }

  stored(log: bigint, from: bigint, to: bigint): Map<bigint, StoredRow> {
    return storedRows(this.#db, this.#name, log, from, to)
  }

  remove(rows: readonly StoredRow[]): void {
    if (rows.length === 0) return
    const parts = this.#scan === undefined ? ['entry'] : ['entry', 'vector', 'code']
    for (const { id } of rows) {
      for (const part of parts)
        this.#db.exec(`DELETE FROM ${this.#name}_${part} WHERE id = ?`, [id])
      this.#db.exec(`DELETE FROM ${this.#name}_text WHERE rowid = ?`, [id])
    }
    // Who keeps codes in memory has to read them anew.
    if (!rows.some(({ hasVector }) => hasVector)) return
    this.#db.exec('UPDATE _agent_store_recall SET epoch = ? WHERE name = ?', [
      newEpoch(),
      this.#definition.name,
    ])
  }

  insert(rows: readonly NewRow[]): void {
    const name = this.#name
    for (const { log, seq, contentHash, words, vector } of rows) {
      const id = this.#db.query(
        `INSERT INTO ${name}_entry (log, seq, content_hash, has_vector) VALUES (?, ?, ?, ?)
          RETURNING id`,
        [log, seq, contentHash, vector === null ? 0n : 1n],
      )[0]?.[0]
      if (typeof id !== 'bigint') throw new MalformedRowError(`${name}_entry gave no id`)
      this.#db.exec(`INSERT INTO ${name}_text (rowid, words) VALUES (?, ?)`, [id, words.join(' ')])
      if (vector === null) continue
      this.#db.exec(`INSERT INTO ${name}_vector VALUES (?, ?)`, [id, toFloatBytes(vector)])
      this.#db.exec(`INSERT INTO ${name}_code VALUES (?, ?)`, [id, toCode(id, log, seq, vector)])
    }
  }

  byWords(words: readonly AskedWord[], selected: Selected, depth: number): Candidate[] {
    const name = this.#name
    const one = `(SELECT count(*) FROM (SELECT 1 FROM ${name}_text WHERE ${name}_text MATCH ? LIMIT ?))`
    const counts = this.#db.query(
      `SELECT ${words.map(() => one).join(', ')}`,
      words.flatMap((word) => [matchOf([word], ''), BigInt(MOST_POSTINGS + 1)]),
    )[0]
    const counted = words.map((word, i) => ({ word, entries: Number(counts?.[i]) }))
    const telling = tellingWords(counted, MOST_POSTINGS)
    const { rare, common } = telling
    const found =
      rare.length > 0
        ? this.#matching(rare, ' OR ', selected, depth)
        : this.#matching(common, ' AND ', selected, depth)
    if (found.length >= depth) return found
    const others = wordsInReserve(telling, selected.isAll)
    return bestOf(found, this.#matching(others, ' OR ', selected, depth), depth)
  }

  byVector(
    vector: Float32Array,
    selected: Selected,
    depth: number,
    isLasting: boolean,
  ): Candidate[] {
    const { vectors } = this.#definition
    if (this.#scan === undefined || vectors === undefined) return []
    const name = this.#name
    const epoch = this.#db.query('SELECT epoch FROM _agent_store_recall WHERE name = ?', [
      this.#definition.name,
    ])[0]?.[0]
    const logs =
      selected.logs === ''
        ? undefined
        : new Set(
            this.#db
              .query(
                `SELECT l.id FROM ${name}_log AS l WHERE 1 = 1${selected.logs}`,
                selected.logParams,
              )
              .map(([id]) => Number(id)),
          )
    const contenders = this.#scan.nearest(
      vector,
      { logs, fromSeq: Number(selected.fromSeq), toSeq: Number(selected.toSeq) },
      depth,
      typeof epoch === 'bigint' ? epoch : 0n,
      isLasting,
    )
    return this.#compared(vectors, vector, contenders, depth)
  }

  /** The best of the contenders by their vectors: those that may be it most are looked at first. */
  #compared(
    { dimensions, distance }: VectorDefinition,
    vector: Float32Array,
    contenders: readonly Contender[],
    depth: number,
  ): Candidate[] {
    const name = this.#name
    const sql = `SELECT ${ENTRY_COLUMNS}, v.vector FROM json_each(?) AS id
      CROSS JOIN ${name}_vector AS v ON v.id = id.value
      JOIN ${name}_entry AS e ON e.id = v.id JOIN ${name}_log AS l ON l.id = e.log`
    let best: Candidate[] = []
    for (let at = 0; at < contenders.length; ) {
      const worst = best.length === depth ? best.at(-1)?.score : undefined
      if (worst !== undefined && (contenders[at]?.most ?? worst) < worst) break
      const some = contenders.slice(at, at + (at === 0 ? 2 * depth : MOST_COMPARED))
      for (const row of this.#db.query(sql, [`[${some.map(({ id }) => id).join()}]`])) {
        const exact = fromFloatBytes(row[4], dimensions)
        if (exact === undefined) continue
        best.push(toCandidate([...row.slice(0, 4), likeness(vector, exact, distance)]))
      }
      best = best.sort(byScore).slice(0, depth)
      at += some.length
    }
    return best
  }

  optimize(): void {
    this.#db.exec(`INSERT INTO ${this.#name}_text (${this.#name}_text) VALUES ('optimize')`)
  }

  counts(): { entries: bigint; vectors: bigint } {
    return countRows(this.#db, this.#name)
  }

  #matching(
    counted: readonly CountedWord[],
    operator: string,
    selected: Selected,
    depth: number,
  ): Candidate[] {
    if (counted.length === 0) return []
    const name = this.#name
    const expression = matchOf(
      counted.map(({ word }) => word),
      operator,
    )
    // CROSS JOIN fixes the order of the join: match first, then look up the log.
    const rows = this.#db.query(
      `SELECT * FROM (
        SELECT ${ENTRY_COLUMNS}, -bm25(${name}_text) AS score
        FROM ${name}_text CROSS JOIN ${name}_entry AS e ON e.id = ${name}_text.rowid
          CROSS JOIN ${name}_log AS l ON l.id = e.log
        WHERE ${name}_text MATCH ?${selected.sql}
        ORDER BY ${name}_text.rowid DESC LIMIT ${MOST_RANKED})
      ORDER BY score DESC, stream, writer, seq LIMIT ?`,
      [expression, ...selected.params, BigInt(depth)],
    )
    return rows.map(toCandidate)
  }
}
