/**
 * Vectors as they come in, are checked, and are stored.
 *
 * Under cosine distance a vector is stored with length 1, so that all three distances come down
 * to inner products: cosine is one, `dot` is one, and the square of a Euclidean distance is
 * `|a|² + |b|² - 2ab`.
 *
 * @module
 */
import { quote } from '#shared'

/** How two vectors are compared. `l2` is the Euclidean distance. */
export type Distance = 'cosine' | 'dot' | 'l2'

/** All of them. */
export const DISTANCES: readonly Distance[] = ['cosine', 'dot', 'l2']

/** The most dimensions of an index: what a graph of pgvector takes, of 16-bit floats. */
export const MOST_DIMENSIONS = 4_000

/** Four times it, which the square of a distance may be, is a 32-bit float as well. */
const MOST_SQUARE = 1e36

/** A vector as a consumer has it. */
export type VectorLike = Float32Array | Float64Array | readonly number[]

/**
 * A vector of `dimensions` finite numbers, with 32 bits each; of length 1 under cosine.
 * @throws TypeError, RangeError that name the argument.
 */
export function toVector(
  argument: string,
  value: unknown,
  dimensions: number,
  distance: Distance,
): Float32Array {
  if (!isVectorLike(value)) {
    throw new TypeError(`${argument} must be an array of numbers, got ${quote(value)}`)
  }
  if (value.length !== dimensions) {
    throw new RangeError(
      `${argument} must have ${dimensions} dimensions, as its index has, got ${value.length}`,
    )
  }
  const vector = new Float32Array(dimensions)
  let sum = 0
  for (let i = 0; i < dimensions; i++) {
    const component: unknown = value[i]
    if (typeof component !== 'number') {
      throw new TypeError(`${argument}[${i}] must be a number, got ${quote(component)}`)
    }
    vector[i] = component
    if (!Number.isFinite(vector[i])) {
      throw new RangeError(`${argument}[${i}] must be a finite 32-bit float, got ${component}`)
    }
    sum += component * component
  }
  if (distance === 'cosine') {
    const length = Math.sqrt(sum)
    // Below, the quotients would not be those of the vector any more.
    if (!(length > 1e-30 && Number.isFinite(length))) {
      throw new RangeError(
        `${argument} has length ${length}, and a cosine is the angle between two directions`,
      )
    }
    for (let i = 0; i < dimensions; i++) vector[i] = Number(value[i]) / length
  } else if (!(sum <= MOST_SQUARE)) {
    throw new RangeError(
      `${argument} has length ${Math.sqrt(sum)}, and products of such go beyond 32-bit floats; ` +
        `scale the vectors to lengths of at most ${Math.sqrt(MOST_SQUARE)}`,
    )
  }
  return vector
}

function isVectorLike(value: unknown): value is VectorLike {
  return value instanceof Float32Array || value instanceof Float64Array || Array.isArray(value)
}

/** How alike two vectors are: the larger, the more. Under `l2` the distance, negated. */
export function likeness(a: Float32Array, b: Float32Array, distance: Distance): number {
  let sum = 0
  if (distance === 'l2') {
    for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2
    return -Math.sqrt(sum)
  }
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Little-endian 32-bit floats. */
export function toFloatBytes(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(4 * vector.length)
  bytes.set(new Uint8Array(vector.buffer, vector.byteOffset, bytes.length))
  return IS_LITTLE_ENDIAN ? bytes : swapped(bytes)
}

/** @returns `undefined` for bytes that are no vector of so many dimensions. */
export function fromFloatBytes(bytes: unknown, dimensions: number): Float32Array | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.length !== 4 * dimensions) return undefined
  const own = new Uint8Array(bytes)
  return new Float32Array((IS_LITTLE_ENDIAN ? own : swapped(own)).buffer)
}

function swapped(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  Buffer.from(bytes.buffer).swap32()
  return bytes
}
