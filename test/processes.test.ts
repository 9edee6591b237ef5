/**
 * Many processes, one file: contention, first opens at the same moment, SIGKILL. What a
 * process was told is stored must be there, once, with the hash that it was told.
 *
 * `npm test` takes a sample. The full measure, a minute or two on two cores, is
 * `CONTENTION_APPENDS=1000` (appends of each of the 16 processes) and `KILLS=200`.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { BusyError, Generation, SqliteBackend, WriterLog } from 'agent-store'
import { runProcesses, runThreads, startWorker } from './processes/start.ts'
import { acknowledgement, STREAM, type Task } from './processes/worker.ts'
import { temporaryFile } from './support.ts'

const APPENDS = Number(process.env.CONTENTION_APPENDS ?? 250)
const KILLS = Number(process.env.KILLS ?? 40)
const PROCESSES = 16

function createStore(file: string): void {
  using db = SqliteBackend.open(file)
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
}

/** Every entry as it is acknowledged, read back from logs that verify. */
function storedIn(db: SqliteBackend): string[] {
  assert.deepEqual(db.query('PRAGMA integrity_check'), [['ok']])
  return WriterLog.writers(db, STREAM).flatMap((writer) =>
    WriterLog.verifiedEntries(db, STREAM, writer).map(acknowledgement),
  )
}

/** The seqs that were acknowledged, of lines in the order in which they were said. */
function seqs(lines: readonly string[]): bigint[] {
  return lines.map((line) => BigInt(String(line.split(' ').at(-2))))
}

function assertAscending(values: readonly bigint[]): void {
  for (const [i, value] of values.entries()) {
    const before = values[i - 1]
    if (before !== undefined) assert.ok(before < value, `${before} was followed by ${value}`)
  }
}

/** The acknowledgements of all workers are exactly what is stored, in `logs` logs. */
function assertAllStored(file: string, said: readonly string[][], logs: number): void {
  using db = SqliteBackend.open(file)
  for (const lines of said) assertAscending(seqs(lines))
  const told = said.flat()
  assert.equal(new Set(told).size, told.length)
  assert.deepEqual(new Set(told), new Set(storedIn(db)))
  assert.deepEqual(WriterLog.verifyAll(db), { logs, entries: BigInt(told.length) })
}

function appendTasks(file: string, workers: number, count: number, task: Partial<Task>): Task[] {
  return Array.from({ length: workers }, (_, i) => {
    const own = {
      kind: 'append',
      file,
      writer: `writer ${i}`,
      label: `worker ${i}`,
      count,
    } as const
    return { durability: 'full', ...own, ...task } as Task
  })
}

suite('contention', () => {
  for (const durability of ['full', 'normal'] as const) {
    test(`${PROCESSES} processes, ${APPENDS} appends each, one writer, ${durability}`, async (t) => {
      const file = temporaryFile(t)
      createStore(file)
      const tasks = appendTasks(file, PROCESSES, APPENDS, { writer: 'shared', durability })
      const said = await runProcesses(tasks)
      assertAllStored(file, said, 1)
      using db = SqliteBackend.open(file)
      const payloads = WriterLog.entries(db, STREAM, 'shared').map(({ payload }) =>
        Buffer.from(payload).toString(),
      )
      assert.equal(new Set(payloads).size, PROCESSES * APPENDS)
    })

    test(`${PROCESSES} processes, ${APPENDS} appends each, own writers, ${durability}`, async (t) => {
      const file = temporaryFile(t)
      createStore(file)
      const said = await runProcesses(appendTasks(file, PROCESSES, APPENDS, { durability }))
      assertAllStored(file, said, PROCESSES)
    })
  }

  test('4 threads, 500 appends each, one writer', async (t) => {
    const file = temporaryFile(t)
    createStore(file)
    assertAllStored(file, await runThreads(appendTasks(file, 4, 500, { writer: 'shared' })), 1)
  })

  test('4 threads, 500 appends each, own writers', async (t) => {
    const file = temporaryFile(t)
    createStore(file)
    assertAllStored(file, await runThreads(appendTasks(file, 4, 500, {})), 4)
  })

  test('8 processes, 500 bumps each: every value is given out once', async (t) => {
    const file = temporaryFile(t)
    createStore(file)
    const task: Task = { kind: 'bump', file, key: 'report', count: 500 }
    const said = await runProcesses(Array.from({ length: 8 }, () => task))
    for (const lines of said) assertAscending(lines.map(BigInt))
    const values = said.flat().map(Number)
    assert.deepEqual(
      values.sort((a, b) => a - b),
      Array.from({ length: 4000 }, (_, i) => i + 1),
    )
    using db = SqliteBackend.open(file)
    assert.equal(new Generation('report').current(db), 4000n)
  })

  // SQLite's own busy handler comes to ask only every 100 ms, and others are always quicker.
  test('nobody starves while 4 processes write without a pause for 8 s', async (t) => {
    const file = temporaryFile(t)
    createStore(file)
    const said = await runProcesses(
      Array.from({ length: 4 }, (_, i): Task => {
        return {
          kind: 'append-for',
          file,
          writer: `writer ${i}`,
          runMs: 8_000,
          busyTimeoutMs: 2_000,
        }
      }),
    )
    t.diagnostic(`appends and longest wait in ms of each: ${said.flat().join(', ')}`)
  })
})

test('10 rounds of 8 processes that open the same new file at the same moment', async (t) => {
  for (let round = 1; round <= 10; round++) {
    const file = temporaryFile(t)
    const said = await runProcesses(
      Array.from({ length: 8 }, (_, i): Task => {
        return { kind: 'first-open', file, writer: i < 4 ? 'shared' : `writer ${i}`, count: 5 }
      }),
    )
    assertAllStored(file, said, 5)
    using db = SqliteBackend.open(file)
    assert.equal(db.journalMode, 'wal')
  }
})

test(`${KILLS} SIGKILLs over 4 writing processes: nothing acknowledged is lost`, async (t) => {
  const file = temporaryFile(t)
  createStore(file)
  const said: string[] = []
  let runs = 0
  let kills = 0
  // Two of them share a writer; each is started again after its kill.
  const writers = ['shared', 'shared', 'left', 'right']
  await Promise.all(
    writers.map(async (writer) => {
      while (runs < KILLS) {
        const label = `run ${++runs}`
        const task = { kind: 'append', durability: 'full' } as const
        const worker = startWorker({ ...task, file, writer, label, count: 1e9 })
        worker.go()
        // Now and then right after its start, mostly after some appends.
        await worker.lines(runs % 8 === 0 ? 1 : 2 + ((runs * 7) % 40))
        worker.kill()
        const { lines, failure } = await worker.end
        assert.match(String(failure), /^ended with SIGKILL: $/)
        kills++
        assertAscending(seqs(lines.slice(1)))
        said.push(...lines.slice(1))
      }
    }),
  )
  assert.equal(kills, KILLS)

  using db = SqliteBackend.open(file)
  const stored = storedIn(db)
  const found = new Set(stored)
  assert.equal(found.size, stored.length)
  assert.equal(new Set(said).size, said.length)
  assert.deepEqual(
    said.filter((line) => !found.has(line)),
    [],
  )
  // A kill between the commit and the word about it leaves one more, never two.
  assert.ok(stored.length - said.length <= kills, `${stored.length} stored, ${said.length} said`)
  t.diagnostic(`${said.length} appends acknowledged, ${stored.length - said.length} more stored`)
})

suite('a busy lock', () => {
  test('is a BusyError after a small busyTimeoutMs, and nothing is written', async (t) => {
    const file = temporaryFile(t)
    createStore(file)
    const holder = startWorker({ kind: 'hold', file, holdMs: 60_000 })
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
    createStore(file)
    const holder = startWorker({ kind: 'hold', file, holdMs: 300 })
    holder.go()
    await holder.lines(2)
    using db = SqliteBackend.open(file)
    assert.equal(WriterLog.append(db, STREAM, 'me', 'first').seq, 1n)
    assert.equal((await holder.end).failure, undefined)
  })
})
