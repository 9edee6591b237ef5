/**
 * The nearest of many vectors, by looking at all of them: a scan of codes with 8 bits a
 * component, which are kept in memory, and from which the caller picks again by the vectors
 * themselves.
 *
 * A code is a record: a header that says whose it is and how it was scaled, then the
 * components. Records are read from the database once, in packs, and kept while nobody removes
 * any; new ones have larger ids and are read when they are needed. Inside a transaction nothing
 * is kept, since it may be rolled back.
 *
 * @module
 */
import type { Backend } from '../index.ts'
import { createDotKernel, type DotKernel } from './dot-kernel.ts'
import type { Distance } from './vectors.ts'

/**
 * In front of the components: id (float64), seq (float64), log (uint32), scale (float32), the
 * square of the vector's length (float32), and 4 bytes that are 0. Little-endian.
 */
const HEADER = 32
const PACK = 2_048
/** A code has so many levels to each side, a query so many. */
const LEVELS = 127
const QUERY_LEVELS = 2_047
const DEFAULT_MOST_BYTES = 512 * 1024 * 1024

/** Which records may be found. */
export interface CodeFilter {
  /** Ids of logs; undefined for all. */
  readonly logs: ReadonlySet<number> | undefined
  readonly fromSeq: number
  readonly toSeq: number
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
  if (scale > 0) {
    vector.forEach((component, i) => {
      const level = Math.round(component / scale)
      view.setInt8(HEADER + i, Math.max(-LEVELS, Math.min(LEVELS, level)))
    })
  }
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
   * Ids of the `depth` records that are most like `query` by their codes, best first.
   * @param epoch Another one than before says that records were removed.
   * @param isLasting Whether what is read now will still be true afterwards.
   */
  nearest(
    query: Float32Array,
    filter: CodeFilter,
    depth: number,
    epoch: bigint,
    isLasting: boolean,
  ): bigint[] {
    const before = { kept: this.#kept, lastId: this.#lastId, epoch: this.#epoch }
    if (epoch !== this.#epoch) this.#forget(epoch)
    this.#kernel ??= createDotKernel()
    const kernel = this.#kernel
    const best = new Best(depth)
    const unit = this.#setQuery(kernel, query)
    const look = (from: number, count: number) => {
      this.#look(kernel, from, count, unit, filter, best)
    }
    look(0, this.#kept)
    for (const pack of this.#packs(this.#lastId)) {
      const count = pack.length / this.#stride
      kernel.reserve(this.#stride * (this.#kept + count))
      kernel.records.set(pack, this.#stride * this.#kept)
      look(this.#kept, count)
      if (this.#kept + count <= this.#mostKept) {
        this.#kept += count
        this.#lastId = idOf(pack, pack.length - this.#stride)
      }
    }
    if (!isLasting) {
      // A transaction's own records lie behind the kept ones; those of another epoch, over them.
      if (before.epoch === epoch) {
        this.#kept = before.kept
        this.#lastId = before.lastId
      } else this.#forget(undefined)
    }
    return best.ids()
  }

  #forget(epoch: bigint | undefined): void {
    this.#epoch = epoch
    this.#kept = 0
    this.#lastId = 0
  }

  /** @returns what one unit of a score is worth, before the scale of its record. */
  #setQuery(kernel: DotKernel, query: Float32Array): number {
    let most = 0
    for (const component of query) most = Math.max(most, Math.abs(component))
    const levels = new Int16Array(this.#components)
    if (most > 0) {
      query.forEach((component, i) => {
        levels[i] = Math.round((component / most) * QUERY_LEVELS)
      })
    }
    kernel.setQuery(levels)
    return most / QUERY_LEVELS
  }

  #look(
    kernel: DotKernel,
    first: number,
    count: number,
    unit: number,
    filter: CodeFilter,
    best: Best,
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
        let score = (scores[i] ?? 0) * unit * (floats[at + 5] ?? 0)
        if (isL2) score = 2 * score - (floats[at + 6] ?? 0)
        if (score < best.least) continue
        if (logs !== undefined && !logs.has(words[at + 4] ?? 0)) continue
        const seq = doubles[at / 2 + 1] ?? 0
        if (seq < fromSeq || seq > toSeq) continue
        best.add(score, doubles[at / 2] ?? 0)
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

/** The best of what is added, so many as are wanted; ties go to the smaller id. */
class Best {
  readonly #depth: number
  #found: { score: number; id: number }[] = []
  /** What scores less is not among them. */
  least = Number.NEGATIVE_INFINITY

  constructor(depth: number) {
    this.#depth = depth
  }

  add(score: number, id: number): void {
    this.#found.push({ score, id })
    if (this.#found.length >= 4 * this.#depth + 64) this.#cut()
  }

  ids(): bigint[] {
    this.#cut()
    return this.#found.map(({ id }) => BigInt(id))
  }

  #cut(): void {
    this.#found.sort((a, b) => b.score - a.score || a.id - b.id)
    if (this.#found.length > this.#depth) {
      this.#found.length = this.#depth
      this.least = this.#found.at(-1)?.score ?? this.least
    }
  }
}
