/**
 * Random sequences of calls against the simplest model there is: arrays and a map.
 *
 * A failure prints the seed to repeat it, as `MODEL_SEED`.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { blake3 as noble } from '@noble/hashes/blake3.js'
import { type Backend, Generation, NonMonotonicGenerationError, WriterLog } from 'agent-store'
import fc from 'fast-check'
import { createTables } from './processes/store.ts'
import { toHex } from './support.ts'

const NAMES = ['', 'a', 'ab', 'é', '🦀'] as const

interface ModelEntry {
  readonly hash: string
  readonly payload: Uint8Array
}

/** What the store must hold. Logs by `stream NUL writer`. */
class Model {
  logs: Map<string, ModelEntry[]> = new Map()
  counters: Map<string, bigint> = new Map()

  copy(): Model {
    const copy = new Model()
    for (const [key, log] of this.logs) copy.logs.set(key, [...log])
    copy.counters = new Map(this.counters)
    return copy
  }

  restore(saved: Model): void {
    this.logs = saved.logs
    this.counters = saved.counters
  }

  log(stream: string, writer: string): ModelEntry[] {
    return this.logs.get(`${stream}\0${writer}`) ?? []
  }

  append(stream: string, writer: string, payload: Uint8Array): void {
    const log = this.log(stream, writer)
    const prev = log.at(-1)
    const input =
      prev === undefined ? payload : Buffer.concat([Buffer.from(prev.hash, 'hex'), payload])
    this.logs.set(`${stream}\0${writer}`, [...log, { hash: toHex(noble(input)), payload }])
  }
}

/** The backend in use; reopening puts another in its place. */
interface Real {
  db: Backend
  readonly open: () => Backend
}

type Step =
  | {
      readonly kind: 'append'
      readonly stream: string
      readonly writer: string
      readonly payload: Uint8Array
    }
  | {
      readonly kind: 'appendMany'
      readonly stream: string
      readonly writer: string
      readonly payloads: Uint8Array[]
    }
  | {
      readonly kind: 'expect'
      readonly stream: string
      readonly writer: string
      readonly right: boolean
    }
  | { readonly kind: 'bump'; readonly key: string }
  | { readonly kind: 'set'; readonly key: string; readonly value: bigint }
  | { readonly kind: 'other'; readonly stream: string; readonly writer: string }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'check'; readonly stream: string; readonly writer: string }
  | { readonly kind: 'transaction'; readonly steps: readonly Step[]; readonly fails: boolean }

const rolledBack = new Error('rolled back')

function run(step: Step, model: Model, real: Real, depth: number): void {
  const { db } = real
  switch (step.kind) {
    case 'append': {
      const entry = WriterLog.append(db, step.stream, step.writer, step.payload)
      model.append(step.stream, step.writer, step.payload)
      const log = model.log(step.stream, step.writer)
      assert.equal(entry.seq, BigInt(log.length))
      assert.equal(toHex(entry.contentHash), log.at(-1)?.hash)
      break
    }
    case 'appendMany': {
      const entries = WriterLog.appendMany(db, step.stream, step.writer, step.payloads)
      for (const payload of step.payloads) model.append(step.stream, step.writer, payload)
      assert.equal(entries.length, step.payloads.length)
      break
    }
    case 'expect': {
      const head = WriterLog.head(db, step.stream, step.writer)
      const options = {
        expectedHead: step.right ? head : { seq: 1n, contentHash: new Uint8Array(32) },
      }
      const append = () => WriterLog.append(db, step.stream, step.writer, 'expected', options)
      if (step.right) {
        append()
        model.append(step.stream, step.writer, Buffer.from('expected'))
      } else assert.throws(append, { code: 'STORE_CONFLICT' })
      break
    }
    case 'bump': {
      const next = (model.counters.get(step.key) ?? 0n) + 1n
      assert.equal(new Generation(step.key).bump(db), next)
      model.counters.set(step.key, next)
      break
    }
    case 'set': {
      const generation = new Generation(step.key)
      if (step.value < (model.counters.get(step.key) ?? 0n)) {
        assert.throws(() => generation.set(db, step.value), NonMonotonicGenerationError)
      } else {
        generation.set(db, step.value)
        model.counters.set(step.key, step.value)
      }
      break
    }
    case 'other': {
      if (depth > 0) break // it would wait for our own lock
      using other = real.open()
      WriterLog.append(other, step.stream, step.writer, 'other')
      model.append(step.stream, step.writer, Buffer.from('other'))
      break
    }
    case 'reopen': {
      if (depth > 0) break
      db.close()
      real.db = real.open()
      break
    }
    case 'check':
      checkLog(model, db, step.stream, step.writer)
      break
    case 'transaction': {
      const saved = model.copy()
      const transaction = () =>
        db.transaction(() => {
          for (const inner of step.steps) run(inner, model, real, depth + 1)
          if (step.fails) throw rolledBack
        })
      if (step.fails) {
        assert.throws(transaction, (error) => {
          if (error !== rolledBack) throw error
          return true
        })
        model.restore(saved)
      } else transaction()
      break
    }
  }
}

function checkLog(model: Model, db: Backend, stream: string, writer: string): void {
  const log = model.log(stream, writer)
  const expected = log.map(({ hash, payload }, i) => [BigInt(i + 1), hash, toHex(payload)])
  const entries = WriterLog.entries(db, stream, writer)
  assert.deepEqual(
    entries.map((entry) => [entry.seq, toHex(entry.contentHash), toHex(entry.payload)]),
    expected,
  )
  assert.deepEqual(
    WriterLog.entries(db, stream, writer, { reverse: true, limit: 2 }).map(({ seq }) => seq),
    expected
      .map(([seq]) => seq)
      .reverse()
      .slice(0, 2),
  )
  const head = WriterLog.head(db, stream, writer)
  assert.equal(head?.seq ?? 0n, BigInt(log.length))
  const verified = WriterLog.verify(db, stream, writer)
  assert.equal(verified?.seq ?? 0n, BigInt(log.length))
  assert.equal(verified === null ? undefined : toHex(verified.contentHash), log.at(-1)?.hash)
}

function checkAll(model: Model, db: Backend): void {
  const logs = [...model.logs].filter(([, log]) => log.length > 0)
  for (const [key] of logs) {
    const [stream = '', writer = ''] = key.split('\0')
    checkLog(model, db, stream, writer)
  }
  const binary = (names: Iterable<string>) =>
    [...new Set(names)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const streams = binary(logs.map(([key]) => key.split('\0')[0] ?? ''))
  assert.deepEqual(WriterLog.streams(db), streams)
  for (const stream of streams) {
    const writers = binary(
      logs.map(([key]) => key.split('\0')).flatMap(([s, w = '']) => (s === stream ? [w] : [])),
    )
    assert.deepEqual(WriterLog.writers(db, stream), writers)
    assert.deepEqual(
      WriterLog.heads(db, stream).map(({ writer, seq }) => [writer, seq]),
      writers.map((writer) => [writer, BigInt(model.log(stream, writer).length)]),
    )
  }
  assert.deepEqual(WriterLog.verifyAll(db), {
    logs: logs.length,
    entries: BigInt(logs.reduce((sum, [, log]) => sum + log.length, 0)),
  })
  assert.deepEqual(
    Generation.list(db).map(({ key, value }) => [key, value]),
    binary(model.counters.keys()).map((key) => [key, model.counters.get(key)]),
  )
  assert.equal(db.inTransaction, false)
}

class StepCommand implements fc.Command<Model, Real> {
  readonly step: Step

  constructor(step: Step) {
    this.step = step
  }

  check(): boolean {
    return true
  }

  run(model: Model, real: Real): void {
    run(this.step, model, real, 0)
  }

  toString(): string {
    return fc.stringify(this.step)
  }
}

const name = fc.constantFrom(...NAMES)
const log = { stream: name, writer: name }
const payload = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.integer({ min: 16_380, max: 16_390 }).map((n) => new Uint8Array(n)) },
)
const kind = <K extends Step['kind']>(value: K): fc.Arbitrary<K> => fc.constant(value)

const simple: fc.Arbitrary<Step>[] = [
  fc.record({ kind: kind('append'), ...log, payload }),
  fc.record({ kind: kind('append'), ...log, payload }),
  fc.record({ kind: kind('appendMany'), ...log, payloads: fc.array(payload, { maxLength: 5 }) }),
  fc.record({ kind: kind('expect'), ...log, right: fc.boolean() }),
  fc.record({ kind: kind('bump'), key: name }),
  fc.record({ kind: kind('set'), key: name, value: fc.bigInt({ min: 0n, max: 20n }) }),
  fc.record({ kind: kind('other'), ...log }),
  fc.record({ kind: kind('reopen') }),
  fc.record({ kind: kind('check'), ...log }),
]
const { step } = fc.letrec<{ step: Step }>((tie) => ({
  step: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(...simple),
    fc.record({
      kind: kind('transaction'),
      steps: fc.array(tie('step'), { maxLength: 5 }),
      fails: fc.boolean(),
    }),
  ),
}))

/**
 * Try `runs` random histories, each on a place that has no tables yet.
 * @param freshPlace Makes one, and gives what opens it, as often as asked, and what removes it.
 */
export function checkHistories(
  runs: number,
  freshPlace: () => { open: () => Backend; remove: () => void },
): void {
  fc.assert(
    fc.property(
      fc.commands([step.map((s) => new StepCommand(s))], { maxCommands: 40, size: '+1' }),
      (commands) => {
        const { open, remove } = freshPlace()
        const real: Real = { db: open(), open }
        const model = new Model()
        createTables(real.db)
        try {
          fc.modelRun(() => ({ model, real }), commands)
          checkAll(model, real.db)
        } finally {
          real.db.close()
          remove()
        }
      },
    ),
    { numRuns: runs, seed: Number(process.env.MODEL_SEED ?? 20_261_123) },
  )
}
