/**
 * How values cross the wire: which PostgreSQL type a parameter is sent as, and how a cell of
 * a result becomes a value.
 *
 * Integers and bytes go in binary, so that nothing is lost and nothing is escaped. Every type
 * without a form of its own arrives as PostgreSQL's text for it (`numeric`, `jsonb`, `uuid`,
 * timestamps, arrays).
 *
 * Type numbers: `pg_type.dat` of the PostgreSQL sources; they never change.
 *
 * @module
 */
import type { Value } from '../../index.ts'

/** The form in which a cell arrives. */
export type Kind =
  | 'text'
  | 'bytea'
  | 'bool'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'oid'
  | 'float4'
  | 'float8'

const OID = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, oid: 26, float4: 700, float8: 701 }

const KINDS: ReadonlyMap<number, Kind> = new Map([
  [OID.bool, 'bool'],
  [OID.bytea, 'bytea'],
  [OID.int8, 'int8'],
  [OID.int2, 'int2'],
  [OID.int4, 'int4'],
  [OID.oid, 'oid'],
  [OID.float4, 'float4'],
  [OID.float8, 'float8'],
])

/** The kind of a column with this type. */
export function kindOf(oid: number): Kind {
  return KINDS.get(oid) ?? 'text'
}

/**
 * The type that a parameter is sent as; 0 lets the server take what the place asks for, which
 * is what text and null are for.
 */
export function typeOf(value: Value): number {
  if (typeof value === 'bigint') return OID.int8
  if (typeof value === 'number') return OID.float8
  return value instanceof Uint8Array ? OID.bytea : 0
}

const LENGTHS: Readonly<Partial<Record<Kind, number>>> = {
  bool: 1,
  int2: 2,
  int4: 4,
  int8: 8,
  oid: 4,
  float4: 4,
  float8: 8,
}

/** A cell of `length` bytes at `at`, as a value. @throws RangeError for a length that its kind never has. */
export function decodeCell(
  kind: Kind,
  bytes: Uint8Array,
  view: DataView,
  text: Buffer,
  at: number,
  length: number,
): Value {
  switch (kind) {
    case 'bytea':
      return bytes.slice(at, at + length)
    case 'text':
      return text.toString('utf8', at, at + length)
  }
  if (length !== LENGTHS[kind]) {
    throw new RangeError(`a cell of type ${kind} has ${length} bytes`)
  }
  switch (kind) {
    case 'int8':
      return view.getBigInt64(at)
    case 'int4':
      return BigInt(view.getInt32(at))
    case 'int2':
      return BigInt(view.getInt16(at))
    case 'oid':
      return BigInt(view.getUint32(at))
    case 'bool':
      return bytes[at] === 0 ? 0n : 1n
    case 'float8':
      return view.getFloat64(at)
    case 'float4':
      return view.getFloat32(at)
  }
}
