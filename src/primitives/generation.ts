/**
 * A named counter that only moves forward.
 *
 * A generation is the causal clock of a fleet: it orders events without asking
 * what time it is. Wall-clock time is a claim, never a coordination primitive.
 *
 * @module
 */
import { checkInt64, checkText, MAX_INT64 } from '../contract/arguments.ts'
import type { Backend, Dialect, Row } from '../contract/backend.ts'
import {
  GenerationExhaustedError,
  GenerationRegressedError,
  MalformedRowError,
  NonMonotonicGenerationError,
  quote,
  StaleGenerationError,
} from '../contract/errors.ts'
import { ensureTable, META } from '../contract/tables.ts'
import { BoundedMap } from '../shared/bounded-map.ts'

// The guard keeps a damaged counter (a fraction, text, a negative) as it was found.
const SOUND = 'm.ival >= 0 AND m.ival = CAST(m.ival AS BIGINT)'
const CURRENT = 'SELECT ival FROM _agent_store_meta WHERE key = ?'
/** A counter that was never moved has no row that could be held. */
const ZERO = 'INSERT INTO _agent_store_meta (key, ival) VALUES (?, 0) ON CONFLICT DO NOTHING'
const BUMP = `INSERT INTO _agent_store_meta AS m (key, ival) VALUES (?, 1)
  ON CONFLICT (key) DO UPDATE SET ival = m.ival + 1
  WHERE m.ival < ${MAX_INT64} AND ${SOUND} RETURNING ival`
const SET = `INSERT INTO _agent_store_meta AS m (key, ival) VALUES (?, ?)
  ON CONFLICT (key) DO UPDATE SET ival = excluded.ival
  WHERE m.ival <= excluded.ival AND ${SOUND} RETURNING ival`

/** Reads a counter so that nobody can move it before the transaction ends. */
const HOLD: Readonly<Record<Dialect, (db: Backend, key: string, held: bigint) => Row | undefined>> =
  {
    // A write transaction excludes other writers from its start.
    sqlite: (db, key) => db.query(CURRENT, [key])[0],
    postgres: (db, key, held) => {
      if (held === 0n) db.exec(ZERO, [key])
      return db.query(`${CURRENT} FOR SHARE`, [key])[0]
    },
  }

/** Counters remembered for each backend. */
const KEPT = 4_096
const acknowledged = new WeakMap<Backend, BoundedMap<string, bigint>>()

/** The largest value of a counter that this backend was given; 0 where none is remembered. */
function acknowledgedOf(db: Backend, key: string): bigint {
  return acknowledged.get(db)?.get(key) ?? 0n
}

function acknowledge(db: Backend, key: string, value: bigint): void {
  let values = acknowledged.get(db)
  if (values === undefined) {
    values = new BoundedMap(KEPT)
    acknowledged.set(db, values)
  }
  // Commits may be told of in another order than they were made in.
  if (value > (values.get(key) ?? 0n)) values.set(key, value)
}

/**
 * A named monotonic counter, from 0 to 2^63-1. Any number of them live in one store.
 *
 * @example
 * ```ts
 * const report = new Generation('report')
 * const mine = report.bump(db)
 * db.transaction(() => {
 *   report.fence(db, mine)                      // throws once somebody else has bumped it
 *   WriterLog.append(db, 'reports', 'me', text)
 * })
 * ```
 */
export class Generation {
  /** The counter's name. */
  readonly key: string

  /** Name a counter; nothing is written. @throws TypeError when `key` is no storable text. */
  constructor(key: string) {
    checkText('key', key)
    this.key = key
  }

  /**
   * Create the counters' table where it is missing. Idempotent.
   * @throws SchemaError when another table has its name.
   */
  static ensureSchema(db: Backend): void {
    ensureTable(db, META)
  }

  /** Every counter and its value, in the binary order of their names. */
  static list(db: Backend): { key: string; value: bigint }[] {
    return db
      .query('SELECT key, ival FROM _agent_store_meta ORDER BY key')
      .map(([key, ...value]) => ({ key: String(key), value: toValue(String(key), value) }))
  }

  /**
   * The current value; 0 for a counter that was never moved.
   * @throws GenerationRegressedError when it stands behind a value that this backend was given.
   */
  current(db: Backend): bigint {
    const row = db.query(CURRENT, [this.key])[0]
    return this.#checked(db, row)
  }

  /**
   * Add one and return the new value, which nobody else is ever given. The first is 1.
   * @throws GenerationExhaustedError at 2^63-1.
   * @throws GenerationRegressedError when the store would give a value again, as an older copy does.
   */
  bump(db: Backend): bigint {
    const row = db.query(BUMP, [this.key])[0]
    if (row !== undefined) {
      const value = toValue(this.key, row)
      const known = acknowledgedOf(db, this.key)
      // Never a value twice: a counter of an older copy would give it again.
      if (value <= known) throw new GenerationRegressedError(this.key, known, value - 1n)
      this.#remember(db, value)
      return value
    }
    this.current(db) // a damaged counter is said to be one
    throw new GenerationExhaustedError(this.key)
  }

  /**
   * Move the counter to `value`, which must not be behind it. One statement, so atomic.
   * @throws NonMonotonicGenerationError when `value` is less than the current one.
   * @throws GenerationRegressedError when the counter stands behind a value that this backend was given.
   * @throws TypeError, RangeError when `value` is no `bigint` from 0 to 2^63-1.
   */
  set(db: Backend, value: bigint): void {
    checkInt64('value', value, 0n)
    const isAhead = value >= acknowledgedOf(db, this.key)
    if (isAhead && db.query(SET, [this.key, value]).length > 0) {
      this.#remember(db, value)
      return
    }
    throw new NonMonotonicGenerationError(this.key, this.current(db), value)
  }

  /**
   * Go on only if the counter still has the value that its holder was given. Call it
   * first in a transaction: nobody can bump the counter before that has ended.
   * @throws StaleGenerationError when the counter has moved on.
   * @throws GenerationRegressedError when it stands behind a value that this backend was given.
   * @throws TypeError outside a transaction, where the answer would be stale at once.
   */
  fence(db: Backend, held: bigint): void {
    checkInt64('held', held, 0n)
    if (!db.inTransaction) {
      throw new TypeError('fence must be called inside db.transaction(), before what it guards')
    }
    const row = HOLD[db.dialect](db, this.key, held)
    const current = this.#checked(db, row)
    if (current !== held) throw new StaleGenerationError(this.key, held, current)
  }

  #checked(db: Backend, row: Row | undefined): bigint {
    const value = row === undefined ? 0n : toValue(this.key, row)
    const known = acknowledgedOf(db, this.key)
    if (value < known) throw new GenerationRegressedError(this.key, known, value)
    return value
  }

  #remember(db: Backend, value: bigint): void {
    if (db.inTransaction) db.afterCommit(() => acknowledge(db, this.key, value))
    else acknowledge(db, this.key, value)
  }
}

function toValue(key: string, [ival]: Row): bigint {
  if (typeof ival === 'bigint' && ival >= 0n) return ival
  throw new MalformedRowError(
    `counter ${quote(key)} must be an integer from 0, found ${typeof ival} ${quote(ival)}`,
  )
}
