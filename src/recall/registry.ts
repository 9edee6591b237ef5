/**
 * The indexes of a store: their names, and what each was created for.
 *
 * @module
 */
import { checkCount, checkText, ensureTable, quote, type Table } from '#shared'
import { type Backend, type Dialect, MalformedRowError } from '../index.ts'
import { IndexDefinitionError, IndexVersionError, UnknownIndexError } from './errors.ts'
import type { Definition, VectorDefinition } from './tables.ts'
import { DISTANCES, MOST_DIMENSIONS } from './vectors.ts'

/** How the tables of an index are laid out. Another layout has another number. */
const VERSION = 2n

/**
 * `epoch` changes when rows are removed; `graph` is the last row that a graph on Postgres knows.
 */
const REGISTRY: Table = {
  name: '_agent_store_recall',
  sqlite: {
    ddl:
      'CREATE TABLE IF NOT EXISTS _agent_store_recall (name TEXT NOT NULL, id INTEGER NOT NULL, ' +
      'version INTEGER NOT NULL, model TEXT, dimensions INTEGER, distance TEXT, epoch INTEGER NOT NULL, graph INTEGER NOT NULL, ' +
      'PRIMARY KEY (name))',
    columns: [
      'name TEXT NOT NULL PRIMARY KEY 1',
      'id INTEGER NOT NULL',
      'version INTEGER NOT NULL',
      'model TEXT',
      'dimensions INTEGER',
      'distance TEXT',
      'epoch INTEGER NOT NULL',
      'graph INTEGER NOT NULL',
    ],
  },
  postgres: {
    ddl:
      'CREATE TABLE IF NOT EXISTS _agent_store_recall (name TEXT COLLATE "C" NOT NULL, id BIGINT NOT NULL, ' +
      'version BIGINT NOT NULL, model TEXT COLLATE "C", dimensions BIGINT, distance TEXT COLLATE "C", epoch BIGINT NOT NULL, graph BIGINT NOT NULL, ' +
      'PRIMARY KEY (name))',
    columns: [
      'name text COLLATE C NOT NULL PRIMARY KEY 1',
      'id bigint NOT NULL',
      'version bigint NOT NULL',
      'model text COLLATE C',
      'dimensions bigint',
      'distance text COLLATE C',
      'epoch bigint NOT NULL',
      'graph bigint NOT NULL',
    ],
  },
}

const COLUMNS = 'name, id, version, model, dimensions, distance'
const LOCK = "SELECT pg_advisory_xact_lock(hashtext('agent-store'), hashtext('recall'))"

interface RegistrySql {
  /** Whether the registry is there: a row, or none. */
  readonly exists: string
  /** Keeps the registry as it is until the transaction ends. SQLite does so by itself. */
  readonly lock: string | undefined
  /** The same beside others that hold it so. */
  readonly lockShared: string | undefined
}

const SQL: Readonly<Record<Dialect, RegistrySql>> = {
  sqlite: {
    exists: "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_agent_store_recall'",
    lock: undefined,
    lockShared: undefined,
  },
  postgres: {
    exists: "SELECT 1 WHERE to_regclass('_agent_store_recall') IS NOT NULL",
    lock: LOCK,
    lockShared: LOCK.replace('lock(', 'lock_shared('),
  },
}

/** Create the list of indexes where it is missing. @throws SchemaError. */
export function ensureRegistry(db: Backend): void {
  ensureTable(db, REGISTRY)
}

/** Let nobody else create or drop an index until the transaction ends. */
export function lockRegistry(db: Backend): void {
  const { lock } = SQL[db.dialect]
  if (lock !== undefined) db.query(lock)
}

/** Let nobody create, drop or empty an index until the transaction ends. */
export function shareRegistry(db: Backend): void {
  const { lockShared } = SQL[db.dialect]
  if (lockShared !== undefined) db.query(lockShared)
}

/** The names of the indexes, in binary order. */
export function indexNames(db: Backend): string[] {
  if (!hasRegistry(db)) return []
  return db
    .query('SELECT name FROM _agent_store_recall ORDER BY name')
    .map(([name]) => String(name))
}

/** What an index was created for; `undefined` where there is none. @throws IndexVersionError. */
export function findDefinition(db: Backend, name: string): Definition | undefined {
  checkText('name', name)
  return hasRegistry(db) ? readDefinition(db, name) : undefined
}

function readDefinition(db: Backend, name: string): Definition | undefined {
  const row = db.query(`SELECT ${COLUMNS} FROM _agent_store_recall WHERE name = ?`, [name])[0]
  if (row === undefined) return undefined
  const [, id, version, model, dimensions, distance] = row
  if (version !== VERSION) {
    throw new IndexVersionError(name, typeof version === 'bigint' ? version : 0n, VERSION)
  }
  if (typeof id !== 'bigint') throw malformed(name)
  if (model === null) return { name, id, vectors: undefined }
  const found = DISTANCES.find((known) => known === distance)
  if (typeof model !== 'string' || typeof dimensions !== 'bigint' || found === undefined) {
    throw malformed(name)
  }
  return { name, id, vectors: { model, dimensions: Number(dimensions), distance: found } }
}

/** What names the tables of an index, whatever version made it. @throws UnknownIndexError. */
export function idOf(db: Backend, name: string): bigint {
  checkText('name', name)
  const row = hasRegistry(db)
    ? db.query('SELECT id FROM _agent_store_recall WHERE name = ?', [name])[0]
    : undefined
  if (typeof row?.[0] === 'bigint') return row[0]
  throw new UnknownIndexError(name, indexNames(db))
}

/** @throws UnknownIndexError. @throws IndexVersionError. */
export function getDefinition(db: Backend, name: string): Definition {
  const found = findDefinition(db, name)
  if (found === undefined) throw new UnknownIndexError(name, indexNames(db))
  return found
}

/**
 * What is now the index of a name under which one was opened.
 * @throws UnknownIndexError. @throws IndexVersionError. @throws IndexDefinitionError where it is for
 * other vectors.
 */
export function currentDefinition(db: Backend, opened: Definition): Definition {
  const found = readDefinition(db, opened.name)
  if (found === undefined) throw new UnknownIndexError(opened.name, indexNames(db))
  checkSame(found, opened.vectors)
  return found
}

/** Write down a new index. Call it in a transaction, behind {@link lockRegistry}. */
export function addDefinition(
  db: Backend,
  name: string,
  vectors: VectorDefinition | undefined,
): Definition {
  const id =
    BigInt(Number(db.query('SELECT coalesce(max(id), 0) FROM _agent_store_recall')[0]?.[0] ?? 0n)) +
    1n
  db.exec(
    `INSERT INTO _agent_store_recall (${COLUMNS}, epoch, graph) VALUES (?, ?, ?, ?, ?, ?, ?, 0)`,
    [
      name,
      id,
      VERSION,
      vectors?.model ?? null,
      vectors === undefined ? null : BigInt(vectors.dimensions),
      vectors?.distance ?? null,
      newEpoch(),
    ],
  )
  return { name, id, vectors }
}

/** Never one that was before, whatever is rolled back. */
export function newEpoch(): bigint {
  return crypto.getRandomValues(new BigInt64Array(1))[0] ?? 0n
}

/** @throws TypeError, RangeError that name the member. */
export function checkVectors(vectors: VectorDefinition | undefined): void {
  if (vectors === undefined) return
  const { model, dimensions, distance } = vectors
  checkText('model', model)
  checkCount('dimensions', dimensions, 1, MOST_DIMENSIONS)
  if (!DISTANCES.includes(distance)) {
    throw new RangeError(`distance must be one of ${DISTANCES.join(', ')}, got ${quote(distance)}`)
  }
}

/** @throws IndexDefinitionError where an index is for anything else than `vectors`. */
export function checkSame(found: Definition, vectors: VectorDefinition | undefined): void {
  if (vectors === undefined && found.vectors !== undefined) {
    throw new IndexDefinitionError(found.name, 'model', undefined, found.vectors.model)
  }
  checkDefinition(found, vectors ?? {})
}

/** @throws IndexDefinitionError where an index is not what the caller takes it for. */
export function checkDefinition(
  { name, vectors }: Definition,
  expected: Partial<VectorDefinition>,
): void {
  for (const field of ['model', 'dimensions', 'distance'] as const) {
    const wanted = expected[field]
    if (wanted !== undefined && wanted !== vectors?.[field]) {
      throw new IndexDefinitionError(name, field, wanted, vectors?.[field])
    }
  }
}

function hasRegistry(db: Backend): boolean {
  return db.query(SQL[db.dialect].exists).length > 0
}

function malformed(name: string): MalformedRowError {
  return new MalformedRowError(`the definition of index ${quote(name)} is damaged; drop the index`)
}
