/**
 * Many processes, one file: contention, first opens at the same moment, SIGKILL. What a
 * process was told is stored must be there, once, with the hash that it was told.
 *
 * `npm test` takes a sample. The full measure, a minute or two on two cores, is
 * `npm run test:long`: 16 processes with 1,000 appends each, and 200 kills.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { BusyError, Generation, SqliteBackend, WriterLog } from 'agent-store'
import { bump, contend, kill, openAtOnce } from './processes/contention.ts'
import { runProcesses, startWorker } from './processes/start.ts'
import { createStore } from './processes/store.ts'
import { STREAM, type Task } from './processes/worker.ts'
import { temporaryFile } from './support.ts'

const APPENDS = Number(process.env.CONTENTION_APPENDS ?? 120)
const KILLS = Number(process.env.KILLS ?? 20)
const ROUNDS = Number(process.env.OPEN_ROUNDS ?? 4)
const PROCESSES = Number(process.env.CONTENTION_PROCESSES ?? 8)

suite('contention', () => {
  for (const durability of ['full', 'normal'] as const) {
    for (const writers of ['one writer', 'own writers'] as const) {
      test(`${PROCESSES} processes, ${APPENDS} appends each, ${writers}, ${durability}`, (t) => {
        const store = { file: temporaryFile(t), options: { durability } }
        return contend(store, 'processes', PROCESSES, APPENDS, writers)
      })
    }
  }

  for (const writers of ['one writer', 'own writers'] as const) {
    test(`4 threads, 500 appends each, ${writers}`, (t) =>
      contend({ file: temporaryFile(t) }, 'threads', 4, 500, writers))
  }

  test('8 processes, 500 bumps each: every value is given out once', (t) =>
    bump({ file: temporaryFile(t) }, 500))

  // SQLite's own busy handler comes to ask only every 100 ms, and others are always quicker.
  test('nobody starves while 4 processes write without a pause for 8 s', async (t) => {
    const store = { file: temporaryFile(t), options: { busyTimeoutMs: 2_000 } }
    await createStore(store)
    const said = await runProcesses(
      Array.from({ length: 4 }, (_, i): Task => {
        return { kind: 'append-for', store, writer: `writer ${i}`, runMs: 8_000 }
      }),
    )
    t.diagnostic(`appends and longest wait in ms of each: ${said.flat().join(', ')}`)
  })
})

test(`${ROUNDS} rounds of 8 processes that open the same new file at the same moment`, async (t) => {
  for (let round = 1; round <= ROUNDS; round++) {
    const file = temporaryFile(t)
    await openAtOnce({ file })
    using db = SqliteBackend.open(file)
    assert.equal(db.journalMode, 'wal')
  }
})

test(`${KILLS} SIGKILLs over 4 writing processes: nothing acknowledged is lost`, async (t) => {
  t.diagnostic(await kill({ file: temporaryFile(t) }, KILLS))
})

suite('a busy lock', () => {
  test('is a BusyError after a small busyTimeoutMs, and nothing is written', async (t) => {
    const file = temporaryFile(t)
    await createStore({ file })
    const holder = startWorker({ kind: 'hold', store: { file }, holdMs: 60_000 })
    holder.go()
    try {
      assert.deepEqual(await holder.lines(2), ['ready', 'held'])
      using db = SqliteBackend.open(file, { busyTimeoutMs: 50 })
      const attempts = [
        () => WriterLog.append(db, STREAM, 'me', 'first'),
        () => WriterLog.appendMany(db, STREAM, 'me', ['first', 'second']),
        () => new Generation('report').bump(db),
        () => new Generation('report').set(db, 7n),
        () => db.transaction(() => assert.fail('not reached')),
      ]
      for (const attempt of attempts) {
        const startedMs = performance.now()
        assert.throws(attempt, (error) => {
          assert.ok(error instanceof BusyError)
          assert.equal(error.code, 'STORE_BUSY')
          return true
        })
        const tookMs = performance.now() - startedMs
        assert.ok(tookMs > 40 && tookMs < 2_000, `gave up after ${tookMs} ms`)
      }
      // Reading is not held up.
      assert.equal(WriterLog.head(db, STREAM, 'me'), null)
      holder.kill()
      await holder.end
      // The lock went with its holder.
      assert.equal(WriterLog.append(db, STREAM, 'me', 'first').seq, 1n)
      assert.equal(new Generation('report').bump(db), 1n)
    } finally {
      holder.kill()
    }
  })

  test('is waited for within busyTimeoutMs', async (t) => {
    const file = temporaryFile(t)
    await createStore({ file })
    const holder = startWorker({ kind: 'hold', store: { file }, holdMs: 300 })
    holder.go()
    await holder.lines(2)
    using db = SqliteBackend.open(file)
    assert.equal(WriterLog.append(db, STREAM, 'me', 'first').seq, 1n)
    assert.equal((await holder.end).failure, undefined)
  })
})
