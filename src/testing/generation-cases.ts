/** What `Generation` promises on any backend. @module */
import assert from 'node:assert/strict'
import { Generation } from '../index.ts'
import { type ConformanceCase, onStore, onTwo, throwsCode } from './case.ts'

/** Cases of `Generation`. */
export const generationCases: readonly ConformanceCase[] = [
  onStore('counts from zero, one at a time', (db) => {
    const report = new Generation('report')
    assert.equal(report.current(db), 0n)
    assert.equal(report.bump(db), 1n)
    assert.equal(report.bump(db), 2n)
    assert.equal(report.current(db), 2n)
  }),
  onStore('keeps counters apart, whatever their names', (db) => {
    const names = ['', 'a', 'A', 'a ', 'ä', 'a\u0308', '🦎', "'; DROP TABLE x; --"]
    names.forEach((name, i) => {
      new Generation(name).set(db, BigInt(i + 1))
    })
    names.forEach((name, i) => {
      assert.equal(new Generation(name).current(db), BigInt(i + 1), JSON.stringify(name))
    })
    assert.equal(Generation.list(db).length, names.length)
  }),
  onStore('is set forward and to the same value, never back', (db) => {
    const report = new Generation('report')
    report.set(db, 10n)
    report.set(db, 10n)
    assert.throws(
      () => report.set(db, 3n),
      (error: unknown) =>
        error instanceof Error &&
        'code' in error &&
        error.code === 'STORE_NON_MONOTONIC_GENERATION' &&
        'current' in error &&
        error.current === 10n &&
        'attempted' in error &&
        error.attempted === 3n,
    )
    assert.equal(report.current(db), 10n)
  }),
  onStore('does not wrap at the end', (db) => {
    const last = new Generation('last')
    last.set(db, 2n ** 63n - 2n)
    assert.equal(last.bump(db), 2n ** 63n - 1n)
    throwsCode('STORE_GENERATION_EXHAUSTED', () => last.bump(db))
    assert.equal(last.current(db), 2n ** 63n - 1n)
  }),
  onStore('refuses values that are no generation', (db) => {
    const report = new Generation('report')
    const notBigint: unknown = 5
    assert.throws(() => report.set(db, notBigint as bigint), TypeError)
    assert.throws(() => report.set(db, -1n), RangeError)
    assert.throws(() => report.set(db, 2n ** 63n), RangeError)
    assert.throws(() => new Generation('\ud800'), TypeError)
    assert.throws(() => new Generation('nul\0'), TypeError)
    assert.equal(report.current(db), 0n)
  }),
  onStore('fences off a holder that was superseded, and rolls its work back', (db) => {
    const lease = new Generation('lease')
    const mine = lease.bump(db)
    db.transaction(() => lease.fence(db, mine))
    lease.bump(db)
    throwsCode('STORE_STALE_GENERATION', () =>
      db.transaction(() => {
        new Generation('work').bump(db)
        lease.fence(db, mine)
      }),
    )
    assert.equal(new Generation('work').current(db), 0n)
    assert.throws(() => lease.fence(db, 2n), TypeError, 'outside a transaction')
  }),
  onStore('is fenced at 0 while it was never moved', (db) => {
    const lease = new Generation('lease')
    db.transaction(() => lease.fence(db, 0n))
    assert.equal(lease.current(db), 0n)
    throwsCode('STORE_STALE_GENERATION', () => db.transaction(() => lease.fence(db, 1n)))
    assert.equal(lease.bump(db), 1n)
    throwsCode('STORE_STALE_GENERATION', () => db.transaction(() => lease.fence(db, 0n)))
  }),
  onStore('is rolled back with its transaction', (db) => {
    const report = new Generation('report')
    assert.throws(() =>
      db.transaction(() => {
        report.bump(db)
        throw new Error('no')
      }),
    )
    assert.equal(report.bump(db), 1n)
  }),
  onTwo('never gives one value to two', (a, b) => {
    const report = new Generation('report')
    const given = [report.bump(a), report.bump(b), report.bump(a), report.bump(b)]
    assert.deepEqual(given, [1n, 2n, 3n, 4n])
  }),
]
