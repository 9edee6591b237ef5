/**
 * What many processes do to one store, and what must be in it afterwards: all that a process
 * was told is stored, once, with the hash that it was told.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { type Backend, Generation, WriterLog } from 'agent-store'
import { runProcesses, runThreads, startWorker } from './start.ts'
import { createStore, openStore, type Store } from './store.ts'
import { acknowledgement, STREAM, type Task } from './worker.ts'

/** Who appends: all as one writer, or each as its own. */
export type Writers = 'one writer' | 'own writers'

/** Every entry as it is acknowledged, read back from logs that verify. */
function storedIn(db: Backend): string[] {
  if (db.dialect === 'sqlite') assert.deepEqual(db.query('PRAGMA integrity_check'), [['ok']])
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
async function assertAllStored(
  store: Store,
  said: readonly string[][],
  logs: number,
): Promise<void> {
  using db = await openStore(store)
  for (const lines of said) assertAscending(seqs(lines))
  const told = said.flat()
  assert.equal(new Set(told).size, told.length)
  assert.deepEqual(new Set(told), new Set(storedIn(db)))
  assert.deepEqual(WriterLog.verifyAll(db), { logs, entries: BigInt(told.length) })
}

/** `workers` processes or threads append `count` entries each. */
export async function contend(
  store: Store,
  kind: 'processes' | 'threads',
  workers: number,
  count: number,
  writers: Writers,
): Promise<void> {
  await createStore(store)
  const tasks = Array.from({ length: workers }, (_, i): Task => {
    const writer = writers === 'one writer' ? 'shared' : `writer ${i}`
    return { kind: 'append', store, writer, label: `worker ${i}`, count }
  })
  const said = await (kind === 'processes' ? runProcesses(tasks) : runThreads(tasks))
  await assertAllStored(store, said, writers === 'one writer' ? 1 : workers)
  using db = await openStore(store)
  const payloads = WriterLog.writers(db, STREAM).flatMap((writer) =>
    WriterLog.entries(db, STREAM, writer).map(({ payload }) => Buffer.from(payload).toString()),
  )
  assert.equal(new Set(payloads).size, workers * count)
}

/** 8 processes bump a counter `count` times each: every value is given out once. */
export async function bump(store: Store, count: number): Promise<void> {
  await createStore(store)
  const task: Task = { kind: 'bump', store, key: 'report', count }
  const said = await runProcesses(Array.from({ length: 8 }, () => task))
  for (const lines of said) assertAscending(lines.map(BigInt))
  const values = said.flat().map(Number)
  assert.deepEqual(
    values.sort((a, b) => a - b),
    Array.from({ length: 8 * count }, (_, i) => i + 1),
  )
  using db = await openStore(store)
  assert.equal(new Generation('report').current(db), BigInt(8 * count))
}

/** 8 processes create the same tables at the same moment, and append. */
export async function openAtOnce(store: Store): Promise<void> {
  const said = await runProcesses(
    Array.from({ length: 8 }, (_, i): Task => {
      return { kind: 'first-open', store, writer: i < 4 ? 'shared' : `writer ${i}`, count: 5 }
    }),
  )
  await assertAllStored(store, said, 5)
}

/**
 * SIGKILL `kills` writing processes, each after some appends.
 * @returns what is to be reported.
 */
export async function kill(store: Store, kills: number): Promise<string> {
  await createStore(store)
  const said: string[] = []
  let runs = 0
  let killed = 0
  // Two of them share a writer; each is started again after its kill.
  const writers = ['shared', 'shared', 'left', 'right']
  await Promise.all(
    writers.map(async (writer) => {
      while (runs < kills) {
        const label = `run ${++runs}`
        const worker = startWorker({ kind: 'append', store, writer, label, count: 1e9 })
        worker.go()
        // Now and then right after its start, mostly after some appends.
        await worker.lines(runs % 8 === 0 ? 1 : 2 + ((runs * 7) % 40))
        worker.kill()
        const { lines, failure } = await worker.end
        assert.match(String(failure), /^ended with SIGKILL: $/)
        killed++
        assertAscending(seqs(lines.slice(1)))
        said.push(...lines.slice(1))
      }
    }),
  )
  assert.equal(killed, kills)

  using db = await openStore(store)
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
  return `${said.length} appends acknowledged, ${stored.length - said.length} more stored`
}
