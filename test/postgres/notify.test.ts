/** Commits are told to those who listen: after the commit, each log once, within the limit. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CommitEvent, type Entry, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { plain } from '../support.ts'
import { emptyPlace } from './database.ts'
import { withoutDatabase } from './server.ts'

const options = { skip: withoutDatabase() }

/** Who tells, who listens, and what was heard: a pointer, or `undefined` for any log. */
function place(t: TestContext, more: PgOptions = {}) {
  const where = emptyPlace(t)
  const db = PgBackend.connect({ ...where, notify: true, ...more })
  const listener = PgBackend.connect({ ...where, reconnect: true })
  t.after(() => [db, listener].map((open) => open.close()))
  WriterLog.ensureSchema(db)
  const heard: (CommitEvent | undefined)[] = []
  const off = listener.watch((event) => heard.push(event))
  listener.keepAlive(true)
  return {
    where,
    db,
    listener,
    heard,
    off,
    /** What is heard once `count` rings came, and a moment more. */
    async rings(count: number): Promise<(CommitEvent | undefined)[]> {
      for (let i = 0; i < 400 && heard.length < count; i++) await sleep(5)
      await sleep(20)
      return heard.splice(0)
    },
  }
}

const pointer = (entry: Entry): CommitEvent => {
  const { stream, writer, seq, contentHash } = plain(entry)
  return { stream, writer, seq, contentHash }
}

test('a commit is told, with where it landed; a rollback is not', options, async (t) => {
  const { db, rings } = place(t)
  const entry = WriterLog.append(db, 's', 'a', 'x')
  assert.deepEqual(await rings(1), [pointer(entry)])
  assert.throws(() =>
    db.transaction(() => {
      WriterLog.append(db, 's', 'a', 'undone')
      throw new Error('no')
    }),
  )
  assert.deepEqual(await rings(0), [])
})

test(
  'what one turn of the event loop commits is told at once, each log once',
  options,
  async (t) => {
    const { db, rings } = place(t)
    const last = WriterLog.appendMany(db, 's', 'a', ['1', '2', '3']).at(-1)
    const other = WriterLog.append(db, 's', 'b', '1')
    const again = WriterLog.append(db, 's', 'a', '4')
    assert.ok(last !== undefined)
    assert.deepEqual(await rings(2), [pointer(again), pointer(other)])
  },
)

test('more than a notification holds is told as any log', options, async (t) => {
  const { db, rings } = place(t)
  for (let i = 0; i < 60; i++) WriterLog.append(db, 's'.repeat(200), `${i}`, 'x')
  assert.deepEqual(await rings(1), [undefined])
  const long = WriterLog.append(db, '\u0001'.repeat(1_000), 'x', 'x')
  assert.deepEqual(await rings(1), [pointer(long)])
  WriterLog.append(db, '\u0001'.repeat(2_000), 'x', 'x')
  assert.deepEqual(await rings(1), [undefined])
})

test('what is not told yet is told when it closes', options, async (t) => {
  const { db, rings } = place(t)
  const entry = WriterLog.append(db, 's', 'a', 'x')
  db.close()
  assert.deepEqual(await rings(1), [pointer(entry)])
})

test('who does not notify tells nothing', options, async (t) => {
  const { db, rings } = place(t, { notify: false })
  WriterLog.append(db, 's', 'a', 'x')
  assert.deepEqual(await rings(0), [])
})

test(
  'what strangers say on the channel rings for any log, and harms nothing',
  options,
  async (t) => {
    const { db, rings } = place(t)
    for (const payload of ['', 'hello', '{}', '[1]', '[{"stream":"s","writer":"a","seq":"0"}]']) {
      db.query("SELECT pg_notify('agent_store', ?)", [payload])
      assert.deepEqual(await rings(1), [undefined], payload)
    }
  },
)

test(
  'after a loss it rings, since something may have been missed, and hears again',
  options,
  async (t) => {
    const { db, listener, rings } = place(t)
    const [pid = null] = listener.query('SELECT pg_backend_pid()')[0] ?? []
    db.query('SELECT pg_terminate_backend(?::int)', [pid])
    assert.deepEqual(await rings(1), [undefined])
    listener.query('SELECT 1')
    const entry = WriterLog.append(db, 's', 'a', 'x')
    assert.deepEqual(await rings(1), [pointer(entry)])
  },
)

test('who has ended watching hears nothing; behind a pooler nobody watches', options, async (t) => {
  const { db, off, rings, where } = place(t)
  off?.()
  WriterLog.append(db, 's', 'a', 'x')
  assert.deepEqual(await rings(0), [])
  using pooled = PgBackend.connect({ ...where, pooler: 'transaction' })
  assert.equal(
    pooled.watch(() => undefined),
    undefined,
  )
})

test('a lost connection does not make a durable append look failed', options, async (t) => {
  const { db, listener } = place(t)
  const entry = WriterLog.append(db, 's', 'a', 'x')
  const [pid = null] = db.query('SELECT pg_backend_pid()')[0] ?? []
  listener.query('SELECT pg_terminate_backend(?::int)', [pid])
  await sleep(20)
  assert.deepEqual(plain(WriterLog.entries(listener, 's', 'a')[0] ?? entry), plain(entry))
})
