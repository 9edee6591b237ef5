/**
 * What pgvector calls things, and what must be installed.
 *
 * A vector crosses the wire in the extension's own binary form: two 16-bit numbers, the
 * dimensions and 0, then the components as 32-bit floats, all big-endian (`vector_send` and
 * `vector_recv` in pgvector's `src/vector.c`). As text it would take twelve times as long.
 *
 * @module
 */
import type { Backend } from '../../index.ts'
import { ExtensionError } from '../errors.ts'
import type { Distance } from '../vectors.ts'

/** The first version that goes on looking when a filter leaves too little (`hnsw.iterative_scan`). */
const LEAST_VERSION = [0, 8] as const

/** Dimensions of which a graph takes 32-bit floats; of halves it takes twice as many. */
const MOST_WHOLE = 2_000

/** The extension as it is installed here. */
export interface PgVector {
  /** The type, with its schema: the search path need not name that. */
  readonly type: string
  /** The operator that orders by `distance`, nearest first. */
  operator(distance: Distance): string
  /** What a graph orders for a vector: the vector, or one of halves where it is too long for that. */
  inGraph(vector: string, dimensions: number): string
  /** The class of an index for that. */
  operatorClass(distance: Distance, dimensions: number): string
}

/** @throws ExtensionError that says what to install. */
export function findPgVector(db: Backend): PgVector {
  const row = db.query(
    `SELECT e.extversion, quote_ident(n.nspname), current_setting('server_version_num')::int / 10000
      FROM (SELECT 1) AS one LEFT JOIN pg_extension AS e ON e.extname = 'vector'
        LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace`,
  )[0]
  const [version, schema, major] = row ?? []
  if (typeof version !== 'string' || typeof schema !== 'string') {
    throw new ExtensionError(
      `an index with vectors needs pgvector ${LEAST_VERSION.join('.')} or later: install it on the server ` +
        `(Debian: postgresql-${String(major)}-pgvector), and run CREATE EXTENSION vector in this database`,
    )
  }
  const [first = 0, second = 0] = version.split('.').map(Number)
  if (first === LEAST_VERSION[0] && second < LEAST_VERSION[1]) {
    throw new ExtensionError(
      `an index with vectors needs pgvector ${LEAST_VERSION.join('.')} or later, and this database has ${version}: ` +
        `install it on the server (Debian: postgresql-${String(major)}-pgvector), and run ALTER EXTENSION vector UPDATE`,
    )
  }
  return {
    type: `${schema}.vector`,
    operator: (distance) => `OPERATOR(${schema}.${distance === 'l2' ? '<->' : '<#>'})`,
    inGraph: (vector, dimensions) =>
      dimensions > MOST_WHOLE ? `(${vector}::${schema}.halfvec(${dimensions}))` : vector,
    operatorClass: (distance, dimensions) =>
      `${schema}.${dimensions > MOST_WHOLE ? 'halfvec' : 'vector'}_${distance === 'l2' ? 'l2' : 'ip'}_ops`,
  }
}

/** A vector in the extension's binary form. */
export function toPgVector(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * vector.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, vector.length)
  for (let i = 0; i < vector.length; i++) view.setFloat32(4 + 4 * i, vector[i] ?? 0)
  return bytes
}
