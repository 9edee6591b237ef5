/**
 * The nearest of many vectors, by looking at all of them: a scan of codes with 8 bits a
 * component, which are kept in memory. A code says what its vector's score is at least and at
 * most; who may be among the nearest by that is given to the caller, to be compared by the
 * vectors themselves. So none is missed, however alike they are.
 *
 * A code is a record: a header that says whose it is, how it was scaled and how far it is off,
 * then the components. Records are read from the database once, in packs, and kept while nobody removes
 * any; new ones have larger ids and are read when they are needed. Inside a transaction nothing
 * is kept, since it may be rolled back.
 *
 * @module
 */
import type { Backend } from '../../index.ts'
import type { Distance } from '../vectors.ts'
import { createDotKernel, type DotKernel } from './dot-kernel.ts'

/**
 * In front of the components: id (float64), seq (float64), log (uint32), and as float32 the scale,
 * the square of the vector's length, and the length of what the code leaves out of it, rounded up.
 * Little-endian.
 */
const HEADER = 32
const PACK = 2_048
/** A code has so many levels to each side, a query so many. */
const LEVELS = 127
const QUERY_LEVELS = 2_047
const DEFAULT_MOST_BYTES = 512 * 1024 * 1024
/** What a float32 is off at most, of itself; and some more for sums of float64. */
const FLOAT32_PART = 2 ** -23
const SLACK = 1 + 1e-6

/** Which records may be found. */
export interface CodeFilter {
  /** Ids of logs; undefined for all. */
  readonly logs: ReadonlySet<number> | undefined
  readonly fromSeq: number
  readonly toSeq: number
}

/** A record that may be among the nearest. */
export interface Contender {
  readonly id: bigint
  /** What its likeness to the query is at most. */
  readonly most: number
}

/** The record of a vector. */
export function toCode(id: bigint, log: bigint, seq: bigint, vector: Float32Array): Uint8Array {
  const record = new Uint8Array(HEADER + padded(vector.length))
  const view = new DataView(record.buffer)
  let most = 0
  let square = 0
  for (const component of vector) {
    most = Math.max(most, Math.abs(component))
    square += component * component
  }
  const scale = Math.fround(most / LEVELS)
  view.setFloat64(0, Number(id), true)
  view.setFloat64(8, Number(seq), true)
  view.setUint32(16, Number(log), true)
  view.setFloat32(20, scale, true)
  view.setFloat32(24, square, true)
  let missing = 0
  vector.forEach((component, i) => {
    const level = scale > 0 ? Math.round(component / scale) : 0
    const kept = Math.max(-LEVELS, Math.min(LEVELS, level))
    view.setInt8(HEADER + i, kept)
    missing += (component - kept * scale) ** 2
  })
  view.setFloat32(28, Math.sqrt(missing) * SLACK, true)
  return record
}

/** A multiple of 16, which the kernel takes at a time. */
function padded(dimensions: number): number {
  return Math.ceil(dimensions / 16) * 16
}

/** The codes of one index, and the search through them. */
export class CodeScan {
  readonly #db: Backend
  readonly #table: string
  readonly #distance: Distance
  readonly #components: number
  readonly #stride: number
  readonly #mostKept: number
  #kernel: DotKernel | undefined
  #epoch: bigint | undefined
  /** Records that are kept, and the id of the last. */
  #kept = 0
  #lastId = 0

  /** @param mostBytes Memory for codes that are kept; what is beyond is read at each search. */
  constructor(
    db: Backend,
    table: string,
    dimensions: number,
    distance: Distance,
    mostBytes: number = DEFAULT_MOST_BYTES,
  ) {
    this.#db = db
    this.#table = table
    this.#distance = distance
    this.#components = padded(dimensions)
    this.#stride = HEADER + this.#components
    this.#mostKept = Math.floor(mostBytes / this.#stride)
  }

  /**
   * The records that may be among the `depth` most like `query`, those that may be it most first.
   * @param epoch Another one than before says that records were removed.
   * @param isLasting Whether what is read now will still be true afterwards.
   */
  nearest(
    query: Float32Array,
    filter: CodeFilter,
    depth: number,
    epoch: bigint,
    isLasting: boolean,
  ): Contender[] {
    const before = { kept: this.#kept, lastId: this.#lastId, epoch: this.#epoch }
    if (epoch !== this.#epoch) this.#forget(epoch)
    this.#kernel ??= createDotKernel()
    const kernel = this.#kernel
    const best = new Contenders(depth)
    const asked = this.#setQuery(kernel, query)
    const look = (from: number, count: number) => {
      this.#look(kernel, from, count, asked, filter, best)
    }
    try {
      look(0, this.#kept)
      let isFull = false
      for (const pack of this.#packs(this.#lastId)) {
        const count = pack.length / this.#stride
        kernel.reserve(this.#stride * (this.#kept + count))
        kernel.records.set(pack, this.#stride * this.#kept)
        look(this.#kept, count)
        // None behind one that is left out: they are found again by their ids, from the last on.
        isFull ||= this.#kept + count > this.#mostKept
        if (isFull) continue
        this.#kept += count
        this.#lastId = idOf(pack, pack.length - this.#stride)
      }
    } finally {
      // A transaction's own records lie behind the kept ones; those of another epoch, over them.
      if (!isLasting && before.epoch === epoch) {
        this.#kept = before.kept
        this.#lastId = before.lastId
      } else if (!isLasting) this.#forget(undefined)
    }
    const likenessOf = (score: number) =>
      this.#distance === 'l2' ? -Math.sqrt(Math.max(0, asked.square - score)) : score
    return best.all().map(({ id, most }) => ({ id: BigInt(id), most: likenessOf(most) }))
  }

  #forget(epoch: bigint | undefined): void {
    this.#epoch = epoch
    this.#kept = 0
    this.#lastId = 0
  }

  #setQuery(kernel: DotKernel, query: Float32Array): Asked {
    let most = 0
    for (const component of query) most = Math.max(most, Math.abs(component))
    const unit = most / QUERY_LEVELS
    const levels = new Int16Array(this.#components)
    let [square, codedSquare, missing] = [0, 0, 0]
    query.forEach((component, i) => {
      const level = unit > 0 ? Math.round(component / unit) : 0
      levels[i] = level
      square += component * component
      codedSquare += (level * unit) ** 2
      missing += (component - level * unit) ** 2
    })
    kernel.setQuery(levels)
    return { unit, square, length: Math.sqrt(codedSquare), missing: Math.sqrt(missing) }
  }

  #look(
    kernel: DotKernel,
    first: number,
    count: number,
    asked: Asked,
    filter: CodeFilter,
    best: Contenders,
  ): void {
    const { buffer, byteOffset } = kernel.records
    const floats = new Float32Array(buffer, byteOffset)
    const doubles = new Float64Array(buffer, byteOffset, Math.floor(kernel.records.length / 8))
    const words = new Uint32Array(buffer, byteOffset)
    const isL2 = this.#distance === 'l2'
    const { logs, fromSeq, toSeq } = filter
    for (let done = 0; done < count; done += kernel.mostScores) {
      const now = Math.min(kernel.mostScores, count - done)
      const start = this.#stride * (first + done)
      const scores = kernel.scan(start, now, this.#stride, HEADER)
      for (let i = 0; i < now; i++) {
        const at = (start + i * this.#stride) / 4
        const square = floats[at + 6] ?? 0
        // The product of two vectors, each a code and what is missing, is that of the codes and
        // at most the products of the lengths of the others.
        let score = (scores[i] ?? 0) * asked.unit * (floats[at + 5] ?? 0)
        let off =
          (asked.length * (floats[at + 7] ?? 0) + asked.missing * Math.sqrt(square)) * SLACK +
          Math.abs(score) * FLOAT32_PART
        if (isL2) {
          score = 2 * score - square
          off = 2 * off + square * FLOAT32_PART
        }
        if (score + off < best.threshold) continue
        if (logs !== undefined && !logs.has(words[at + 4] ?? 0)) continue
        const seq = doubles[at / 2 + 1] ?? 0
        if (seq < fromSeq || seq > toSeq) continue
        best.add(score - off, score + off, doubles[at / 2] ?? 0)
      }
    }
  }

  /** Records with a larger id, by their ids, many at a time. */
  *#packs(after: number): Generator<Uint8Array> {
    const isUtf8 = this.#db.query('PRAGMA encoding')[0]?.[0] === 'UTF-8'
    const page = `(SELECT id, code FROM ${this.#table} WHERE id > ? ORDER BY id LIMIT ${PACK})`
    // Text of another encoding would be converted on its way into the blob.
    const packed = `SELECT CAST(group_concat(code, '') AS BLOB) FROM ${page}`
    for (let last = after; ; ) {
      const pack = isUtf8 ? this.#db.query(packed, [BigInt(last)])[0]?.[0] : undefined
      let bytes = pack instanceof Uint8Array ? pack : new Uint8Array(0)
      if (bytes.length === 0 || !this.#isInOrder(bytes, last)) {
        const rows = this.#db.query(`SELECT code FROM ${page}`, [BigInt(last)])
        const codes = rows.map(([code]) => (code instanceof Uint8Array ? code : new Uint8Array(0)))
        bytes = new Uint8Array(Buffer.concat(codes.filter((c) => c.length === this.#stride)))
      }
      if (bytes.length === 0) return
      yield bytes
      last = idOf(bytes, bytes.length - this.#stride)
      if (bytes.length < PACK * this.#stride) return
    }
  }

  #isInOrder(bytes: Uint8Array, after: number): boolean {
    if (bytes.length % this.#stride !== 0) return false
    let last = after
    for (let at = 0; at < bytes.length; at += this.#stride) {
      const id = idOf(bytes, at)
      if (!(id > last)) return false
      last = id
    }
    return true
  }
}

function idOf(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true)
}

/** A query, as it was coded. */
interface Asked {
  /** What one unit of a score is worth, before the scale of its record. */
  readonly unit: number
  /** The square of its length. */
  readonly square: number
  /** The lengths of its code, and of what that leaves out. */
  readonly length: number
  readonly missing: number
}

/** What may be among the `depth` best of what is added. */
class Contenders {
  readonly #depth: number
  #list: { readonly least: number; readonly most: number; readonly id: number }[] = []
  #cutAt: number
  /** What scores less at most is not among them: so many score more at least. */
  threshold = Number.NEGATIVE_INFINITY

  constructor(depth: number) {
    this.#depth = depth
    this.#cutAt = 4 * depth + 64
  }

  add(least: number, most: number, id: number): void {
    this.#list.push({ least, most, id })
    if (this.#list.length >= this.#cutAt) this.#cut()
  }

  all(): readonly { readonly most: number; readonly id: number }[] {
    this.#cut()
    return this.#list.sort((a, b) => b.most - a.most || a.id - b.id)
  }

  #cut(): void {
    if (this.#list.length <= this.#depth) return
    const least = Float64Array.from(this.#list, (each) => each.least).sort()
    this.threshold = Math.max(this.threshold, least.at(-this.#depth) ?? this.threshold)
    this.#list = this.#list.filter(({ most }) => most >= this.threshold)
    this.#cutAt = Math.max(4 * this.#depth + 64, 2 * this.#list.length)
  }
}
