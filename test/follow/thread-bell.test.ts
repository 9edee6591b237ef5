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
  const turn = () => new Promise((done) => setTimeout(done, 20))
  one.ring(event)
  await turn()
  assert.deepEqual(heard, ['two 1'])
  off()
  one.ring(event)
  await turn()
  two.subscribe(() => heard.push('two again'))
  two.close()
  one.ring(event)
  await turn()
  assert.deepEqual(heard, ['two 1'])
  assert.throws(() => one.ring({ ...event, seq: 0n }), /seq/)
})
