/** What one thread commits wakes the others at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { type CommitEvent, SqliteBackend, WriterLog } from 'agent-store'
import { follow, ThreadBell } from 'agent-store/follow'
import { temporaryFile } from '../support.ts'

test('an entry of another thread is had long before anybody looks', async (t) => {
  const file = temporaryFile(t)
  using setup = SqliteBackend.open(file)
  WriterLog.ensureSchema(setup)
  const thread = new Worker(new URL('./appending-thread.ts', import.meta.url), { workerData: file })
  await once(thread, 'message')
  // A wrapped connection is told nothing of its file.
  const connection = new DatabaseSync(file, { timeout: 1_000 })
  using threads = new ThreadBell('test')
  const following = follow(SqliteBackend.fromConnection(connection), {
    pollMs: 60_000,
    bells: [threads],
  })
  for (let i = 1; i <= 20; i++) {
    const waiting = following.next()
    thread.postMessage(`${i}`)
    const { value } = await waiting
    assert.equal(Buffer.from(value?.payload ?? []).toString(), `${i}`)
  }
  await following.return()
  connection.close()
  thread.postMessage('end')
  const [code] = (await once(thread, 'exit')) as [number]
  assert.equal(code, 0)
})

test('it is heard by the others, not by itself, and by nobody once it is closed', async () => {
  const event: CommitEvent = { stream: 's', writer: 'a', seq: 1n, contentHash: new Uint8Array(32) }
  using one = new ThreadBell('test 2')
  const two = new ThreadBell('test 2')
  using other = new ThreadBell('another name')
  const heard: string[] = []
  one.subscribe(() => heard.push('one'))
  const off = two.subscribe(({ seq }) => heard.push(`two ${seq}`))
  other.subscribe(() => heard.push('other'))
  // A bell that hears every ring tells when one has arrived.
  using witness = new ThreadBell('test 2')
  let rings = 0
  witness.subscribe(() => rings++)
  const ringAndWait = async () => {
    const before = rings
    one.ring(event)
    while (rings === before) await new Promise((done) => setTimeout(done, 1))
    // A message that is under way to somebody else arrives within a few turns of the event loop.
    for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
  }
  await ringAndWait()
  while (heard.length === 0) await new Promise((done) => setTimeout(done, 1))
  assert.deepEqual(heard, ['two 1'])
  off()
  await ringAndWait()
  two.subscribe(() => heard.push('two again'))
  two.close()
  await ringAndWait()
  assert.deepEqual(heard, ['two 1'])
  assert.throws(() => one.ring({ ...event, seq: 0n }), /seq/)
})
