/**
 * Every failure has a class, a code that never changes, and a message that says what to do.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import test from 'node:test'
import * as store from 'agent-store'
import {
  BackendError,
  BusyError,
  ChainBrokenError,
  ClosedError,
  ConflictError,
  ConnectionError,
  DeadlineError,
  FileReplacedError,
  GenerationExhaustedError,
  GenerationRegressedError,
  InDoubtError,
  LogRegressedError,
  MalformedRowError,
  NonMonotonicGenerationError,
  PolicyError,
  SchemaError,
  StaleGenerationError,
  StoreError,
  TwoLibrariesError,
} from 'agent-store'
import { quote } from '../../src/contract/errors.ts'

const cause = new Error('why')
const head = { seq: 3n, contentHash: new Uint8Array(32) }

const CASES: readonly (readonly [StoreError, string, string, string])[] = [
  [new BackendError('m', { cause }), 'BackendError', 'STORE_BACKEND', 'm'],
  [new BusyError('m', { cause }), 'BusyError', 'STORE_BUSY', 'm'],
  [new ConnectionError('m', { cause }), 'ConnectionError', 'STORE_CONNECTION', 'm'],
  [new DeadlineError('m', { cause }), 'DeadlineError', 'STORE_DEADLINE', 'm'],
  [new InDoubtError('m', { cause }), 'InDoubtError', 'STORE_IN_DOUBT', 'm'],
  [
    new LogRegressedError('s', 'w', head),
    'LogRegressedError',
    'STORE_LOG_REGRESSED',
    'stream "s" writer "w" lacks seq 3, which was acknowledged; is this an older copy of the ' +
      'store? Open it anew to go on from what it has',
  ],
  [new ClosedError('m', { cause }), 'ClosedError', 'STORE_CLOSED', 'm'],
  [new SchemaError('m', { cause }), 'SchemaError', 'STORE_SCHEMA', 'm'],
  [new MalformedRowError('m', { cause }), 'MalformedRowError', 'STORE_MALFORMED_ROW', 'm'],
  [new PolicyError('m', { cause }), 'PolicyError', 'STORE_POLICY', 'm'],
  [
    new ChainBrokenError('s', 'w', 7n, 'a gap'),
    'ChainBrokenError',
    'STORE_CHAIN_BROKEN',
    'chain broken on stream "s" writer "w" at seq 7: a gap',
  ],
  [
    new ConflictError('s', 'w', null, head),
    'ConflictError',
    'STORE_CONFLICT',
    'stream "s" writer "w" has its head at seq 3, expected was 0; read the entries past your head and decide again',
  ],
  [
    new NonMonotonicGenerationError('k', 5n, 4n),
    'NonMonotonicGenerationError',
    'STORE_NON_MONOTONIC_GENERATION',
    'non-monotonic generation on "k": current 5, attempted 4',
  ],
  [
    new FileReplacedError('/a.db'),
    'FileReplacedError',
    'STORE_FILE_REPLACED',
    '"/a.db" is not the file that was opened any more; close it and open it again',
  ],
  [
    new FileReplacedError('/a.db', { stream: 's', writer: 'w', ...head }),
    'FileReplacedError',
    'STORE_FILE_REPLACED',
    '"/a.db" is not the file that was opened any more; close it and open it again; what was ' +
      'acknowledged from stream "s" writer "w" seq 3 on may not be in it',
  ],
  [
    new TwoLibrariesError('/a.db'),
    'TwoLibrariesError',
    'STORE_TWO_LIBRARIES',
    'two SQLite libraries of this process have "/a.db" open, which loses writes and damages the ' +
      'file; open it by one library alone, and give that connection to SqliteBackend.fromConnection',
  ],
  [
    new GenerationRegressedError('k', 9n, 4n),
    'GenerationRegressedError',
    'STORE_GENERATION_REGRESSED',
    'generation "k" stands at 4, and 9 was acknowledged; is this an older copy of the store? Open ' +
      'it anew to go on from what it has',
  ],
  [
    new StaleGenerationError('k', 1n, 2n),
    'StaleGenerationError',
    'STORE_STALE_GENERATION',
    'stale generation on "k": held 1, current 2',
  ],
  [
    new GenerationExhaustedError('k'),
    'GenerationExhaustedError',
    'STORE_GENERATION_EXHAUSTED',
    'generation "k" stands at 2^63-1, the largest; start a counter of another name',
  ],
]

for (const [error, name, code, message] of CASES) {
  test(`${name} is a StoreError with the code ${code}`, () => {
    assert.ok(error instanceof StoreError)
    assert.ok(error instanceof Error)
    assert.equal(error.name, name)
    assert.equal(error.code, code)
    assert.equal(error.message, message)
    assert.equal(String(error), `${name}: ${message}`)
    if (message === 'm') assert.equal(error.cause, cause)
    else assert.equal(error.cause, undefined)
  })
}

test('codes are unique, and this file knows every error class that is exported', () => {
  const known = new Set(CASES.map(([, name]) => name))
  assert.equal(new Set(CASES.map(([error]) => error.code)).size, known.size)
  const exported = Object.keys(store).filter((name) => name.endsWith('Error'))
  assert.deepEqual(new Set([...known, 'StoreError']), new Set(exported))
})

test('the name of every error that a door exports is text, which a minifier leaves alone', async () => {
  const doors = ['', '/follow', '/mesh', '/postgres', '/recall']
  let seen = 0
  for (const door of doors) {
    const exported: Record<string, unknown> = await import(`agent-store${door}`)
    for (const [name, value] of Object.entries(exported)) {
      if (typeof value !== 'function' || !(value.prototype instanceof StoreError)) continue
      seen++
      assert.ok(Object.hasOwn(value.prototype, 'name'), name)
      assert.equal(value.prototype.name, name)
      assert.ok(!Object.keys(value.prototype).includes('name'), `${name} lists its name as a field`)
    }
  }
  assert.ok(seen > 30, `${seen} classes`)
})

test('the fields of each case are there to act on', () => {
  const broken = new ChainBrokenError('s', 'w', 7n, 'a gap')
  assert.deepEqual(
    [broken.stream, broken.writer, broken.seq, broken.detail],
    ['s', 'w', 7n, 'a gap'],
  )
  const conflict = new ConflictError('s', 'w', null, head)
  assert.equal(conflict.expected, null)
  assert.equal(conflict.actual, head)
  const back = new NonMonotonicGenerationError('k', 5n, 4n)
  assert.deepEqual([back.key, back.current, back.attempted], ['k', 5n, 4n])
  const stale = new StaleGenerationError('k', 1n, 2n)
  assert.deepEqual([stale.key, stale.held, stale.current], ['k', 1n, 2n])
  assert.equal(new GenerationExhaustedError('k').key, 'k')
  assert.equal(new BackendError('m', { driverCode: 'SQLITE_FULL' }).driverCode, 'SQLITE_FULL')
  assert.equal(new BackendError('m').driverCode, undefined)
})

test('a conflict at the same seq says that the hash differs', () => {
  const other = { seq: 3n, contentHash: new Uint8Array(32).fill(1) }
  assert.match(
    new ConflictError('s', 'w', other, head).message,
    /expected was 3 with another hash;/,
  )
})

test('a value is quoted in bounded length, and never throws', () => {
  assert.equal(quote('a"b'), '"a\\"b"')
  assert.equal(quote('x'.repeat(200)), `"${'x'.repeat(80)}…"`)
  assert.equal(quote(5n), '5n')
  assert.equal(quote(new Uint8Array(7)), '7 bytes')
  assert.equal(quote(null), 'null')
  assert.equal(quote(undefined), 'undefined')
  assert.equal(quote(Symbol('s')), 'Symbol(s)')
  assert.equal(quote(Object.create(null)), '[object Object]')
  assert.equal(quote([1]), '[object Array]')
})
