/**
 * Each entry counts exactly once: through errors, through rivals of the same name, and through
 * SIGKILL at any moment.
 *
 * `npm test` takes a sample of the kills. The full measure is `npm run test:long`: 100 kills in
 * the midst of 20,000 commits by four writers.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Backend,
  ConnectionError,
  InDoubtError,
  SqliteBackend,
  type StoreError,
  WriterLog,
} from 'agent-store'
import { type ConsumeOptions, Consumer, consume } from 'agent-store/follow'
import { PgBackend } from 'agent-store/postgres'
import { startScript, startWorker } from '../processes/start.ts'
import { STREAM } from '../processes/worker.ts'
import { numbers, temporaryFile } from '../support.ts'
import { PLACES } from './places.ts'

const KILLS = Number(process.env.FOLLOW_KILLS ?? 5)
const COMMITS = Number(process.env.FOLLOW_COMMITS ?? 1_200)
const SCRIPT = new URL('./consumer-process.ts', import.meta.url).pathname

const copy = new Consumer('copy')
const END: ConsumeOptions = { live: false }

function createCopied(db: Backend): void {
  db.exec('CREATE TABLE copied (stream TEXT, writer TEXT, seq BIGINT)')
}

function copied(db: Backend): bigint[] {
  return db.query('SELECT seq FROM copied ORDER BY seq').map(([seq]) => seq as bigint)
}

for (const place of PLACES) {
  suite(place.name, { skip: place.skip }, () => {
    test('goes through what is there, then through what comes', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      WriterLog.appendMany(db, 's', 'a', ['1', '2', '3'])
      const seen: bigint[] = []
      await consume(db, copy, END, ({ seq }) => seen.push(seq))
      await consume(db, copy, END, () => assert.fail('consumed already'))
      const stop = new AbortController()
      const options = { stream: 's', pollMs: 100, signal: stop.signal }
      const consuming = consume(db, copy, options, ({ seq }) => {
        seen.push(seq)
        if (seq === 5n) stop.abort(new Error('enough'))
      })
      await sleep(10)
      WriterLog.append(other, 's', 'a', '4')
      WriterLog.append(other, 's', 'a', '5')
      await assert.rejects(consuming, /enough/)
      assert.deepEqual(seen, [1n, 2n, 3n, 4n, 5n])
      assert.deepEqual(copy.cursor(db)[0]?.seq, 5n)
    })

    test('what the callback throws undoes its batch alone', async (t) => {
      const { open } = place.create(t)
      const db = open()
      createCopied(db)
      WriterLog.appendMany(db, 's', 'a', ['1', '2', '3', '4', '5'])
      const handle = (most: bigint) => (entry: { seq: bigint }) => {
        if (entry.seq > most) throw new Error('too much')
        db.exec('INSERT INTO copied VALUES (NULL, NULL, ?)', [entry.seq])
      }
      await assert.rejects(consume(db, copy, { ...END, batch: 2 }, handle(3n)), /too much/)
      assert.deepEqual(copied(db), [1n, 2n])
      await consume(db, copy, END, handle(9n))
      assert.deepEqual(copied(db), [1n, 2n, 3n, 4n, 5n])
    })

    test('two of one name share the work: each entry counts once', async (t) => {
      const { open } = place.create(t)
      const [db, other, writing] = [open(), open(), open()]
      createCopied(db)
      const stop = new AbortController()
      const consuming = [db, other].map((store) =>
        consume(store, copy, { pollMs: 50, signal: stop.signal, batch: 3 }, ({ seq }) => {
          store.exec('INSERT INTO copied VALUES (NULL, NULL, ?)', [seq])
        }),
      )
      const ended = Promise.allSettled(consuming)
      for (let i = 0; i < 60; i++) {
        WriterLog.append(writing, 's', 'a', 'x')
        await sleep(1)
      }
      while ((copy.cursor(db)[0]?.seq ?? 0n) < 60n) await sleep(5)
      stop.abort(new Error('enough'))
      for (const end of await ended) assert.match(String('reason' in end && end.reason), /enough/)
      assert.deepEqual(
        copied(db),
        Array.from({ length: 60 }, (_, i) => BigInt(i + 1)),
      )
    })

    test('where two of one name meet, one works, and the handler runs once for each entry', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      db.exec('CREATE TABLE bill (writer TEXT, seq BIGINT, PRIMARY KEY (writer, seq))')
      WriterLog.appendMany(db, 's', 'a', ['1', '2', '3', '4', '5'])
      let handled = 0
      const bill = (store: Backend) =>
        consume(store, copy, { ...END, batch: 2 }, ({ writer, seq }) => {
          handled++
          store.exec('INSERT INTO bill VALUES (?, ?)', [writer, seq])
        })
      await Promise.all([bill(db), bill(other)])
      assert.equal(handled, 5)
      assert.equal(copy.cursor(other)[0]?.seq, 5n)
    })

    test(`killed ${KILLS} times amid ${COMMITS} commits by four writers: each entry once`, async (t) => {
      const { store, open } = place.create(t)
      const db = open()
      createCopied(db)
      const count = COMMITS / 4
      const writers = ['a', 'b', 'c', 'd'].map((writer) => {
        return startWorker({ kind: 'append', store, writer, label: writer, count, pauseMs: 5 })
      })
      await Promise.all(writers.map((writer) => writer.lines(1)))
      for (const writer of writers) writer.go()
      const chance = numbers(KILLS)
      for (let kill = 0; kill < KILLS; kill++) {
        const known = copied(db).length
        const consumer = startScript(SCRIPT, JSON.stringify(store), '20')
        await consumer.lines(1)
        // Each one is killed at work, however slow the machine is.
        while (copied(db).length === known && known < COMMITS) await sleep(5)
        await sleep(chance(150))
        consumer.kill()
        await consumer.end
      }
      for (const { failure } of await Promise.all(writers.map((writer) => writer.end))) {
        assert.equal(failure, undefined)
      }
      const before = copied(db).length
      await consume(db, copy, END, ({ stream, writer, seq }) => {
        db.exec('INSERT INTO copied VALUES (?, ?, ?)', [stream, writer, seq])
      })
      t.diagnostic(`${before} of ${COMMITS} entries were copied by processes that were killed`)
      assert.ok(before >= Math.min(KILLS, COMMITS))
      const rows = db.query('SELECT stream, writer, seq FROM copied ORDER BY writer, seq')
      const expected = ['a', 'b', 'c', 'd'].flatMap((writer) =>
        Array.from({ length: count }, (_, i) => [STREAM, writer, BigInt(i + 1)]),
      )
      assert.deepEqual(rows, expected)
    })
  })
}

test('a commit whose answer was lost counts once', {
  skip: PLACES[1]?.skip ?? false,
}, async (t) => {
  const place = PLACES[1]
  const { store, open } = place?.create(t) ?? assert.fail()
  assert.ok('postgres' in store)
  const admin = open()
  createCopied(admin)
  const db = PgBackend.connect({ ...store.postgres, reconnect: true })
  t.after(() => db.close())
  WriterLog.appendMany(admin, 's', 'a', ['1', '2', '3', '4', '5', '6'])
  const interruptions: StoreError[] = []
  let cut = 2
  await consume(
    db,
    copy,
    { live: false, batch: 2, pollMs: 50, onInterrupted: (error) => interruptions.push(error) },
    ({ seq }) => {
      db.exec('INSERT INTO copied VALUES (NULL, NULL, ?)', [seq])
      if (seq % 2n === 0n && cut-- > 0) {
        const [pid = null] = db.query('SELECT pg_backend_pid()')[0] ?? []
        admin.query('SELECT pg_terminate_backend(?::int)', [pid])
      }
    },
  )
  assert.deepEqual(copied(admin), [1n, 2n, 3n, 4n, 5n, 6n])
  assert.ok(interruptions.length >= 2)
  // The connection is lost before the commit, whose answer is lost with it.
  for (const error of interruptions) {
    assert.ok(error instanceof InDoubtError || error instanceof ConnectionError, String(error))
  }
})

test('options and callbacks that cannot be are refused', async (t) => {
  using db = SqliteBackend.open(temporaryFile(t))
  WriterLog.ensureSchema(db)
  Consumer.ensureSchema(db)
  WriterLog.append(db, 's', 'a', 'x')
  await assert.rejects(
    consume(db, copy, { batch: 0 }, () => undefined),
    /batch must be from 1 to 10000, got 0/,
  )
  const asynchronous = (async () => undefined) as unknown as () => void
  await assert.rejects(consume(db, copy, END, asynchronous), /handle must be synchronous/)
  assert.deepEqual(copy.cursor(db), [])
})
