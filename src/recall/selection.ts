/**
 * Which entries a search is about: those of some streams, of a writer, of a range of seqs.
 *
 * @module
 */
import { checkInt64, checkSelection, MAX_INT64 } from '#shared'
import type { Value } from '../index.ts'

/** Which entries; all of them where nothing is said. */
export interface RecallSelection {
  /** One stream, or several. */
  readonly stream?: string | readonly string[] | undefined
  /** All streams whose name starts with this; not together with `stream`. */
  readonly prefix?: string | undefined
  /** Of this writer alone. */
  readonly writer?: string | undefined
  /** No entry before this seq of its log. */
  readonly fromSeq?: bigint | undefined
  /** No entry behind this seq of its log. */
  readonly toSeq?: bigint | undefined
}

const MOST_STREAMS = 1_000

/** A selection that was checked, as conditions on the tables `l` (logs) and `e` (entries). */
export class Selected {
  /** Conditions on `l`, each behind an AND; empty for all logs. */
  readonly logs: string
  readonly logParams: readonly Value[]
  readonly fromSeq: bigint
  readonly toSeq: bigint

  /** @throws TypeError, RangeError that name the member. */
  constructor({ fromSeq = 1n, toSeq = MAX_INT64, ...selection }: RecallSelection) {
    checkInt64('fromSeq', fromSeq, 0n)
    checkInt64('toSeq', toSeq, 0n)
    const conditions: string[] = []
    const params: Value[] = []
    const { streams, prefix, writer } = checkSelection(selection)
    if (streams !== undefined) {
      if (streams.length > MOST_STREAMS) {
        throw new RangeError(`stream must be at most ${MOST_STREAMS} names, got ${streams.length}`)
      }
      conditions.push(
        streams.length === 0 ? '1 = 0' : `l.stream IN (${streams.map(() => '?').join(', ')})`,
      )
      params.push(...streams)
    }
    if (prefix !== '') {
      conditions.push('substr(l.stream, 1, CAST(? AS INTEGER)) = ?')
      params.push(BigInt([...prefix].length), prefix)
    }
    if (writer !== undefined) {
      conditions.push('l.writer = ?')
      params.push(writer)
    }
    this.logs = conditions.map((condition) => ` AND ${condition}`).join('')
    this.logParams = params
    this.fromSeq = fromSeq
    this.toSeq = toSeq
  }

  /** Whether it leaves anything out. */
  get isAll(): boolean {
    return this.logs === '' && !this.hasRange
  }

  get hasRange(): boolean {
    return this.fromSeq > 1n || this.toSeq < MAX_INT64
  }

  /** All conditions, on `l` and `e`, each behind an AND. */
  get sql(): string {
    return this.hasRange ? `${this.logs} AND e.seq >= ? AND e.seq <= ?` : this.logs
  }

  get params(): readonly Value[] {
    return this.hasRange ? [...this.logParams, this.fromSeq, this.toSeq] : this.logParams
  }
}
