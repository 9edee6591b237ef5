/** An append whose answer is lost is found out about by the next, and stored once. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { after, suite, type TestContext, test } from 'node:test'
import { ConflictError, ConnectionError, type Head, InDoubtError, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from './database.ts'
import { errorOf } from './meanwhile.ts'
import { startProxy } from './proxy.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const LOG = ['conv', 'alice'] as const

interface Place {
  readonly db: PgBackend
  /** Between `db` and the server. */
  readonly proxy: ReturnType<typeof startProxy>
  /** Without the proxy. */
  readonly rival: PgBackend
}

let server: Server | undefined
after(() => server?.[Symbol.dispose]())

function startPlace(t: TestContext): Place {
  server ??= startServer({ fsync: false })
  const place = emptyPlace(t, server.url())
  const proxy = startProxy(server.port)
  t.after(() => proxy[Symbol.dispose]())
  const url = proxy.url(server.url())
  const db = PgBackend.connect({ ...place, url, reconnect: true })
  t.after(() => db.close())
  const rival = PgBackend.connect(place)
  t.after(() => rival.close())
  WriterLog.ensureSchema(db)
  return { db, proxy, rival }
}

function payloads(db: PgBackend): string[] {
  WriterLog.verifyAll(db)
  return WriterLog.entries(db, ...LOG).map(({ payload }) => Buffer.from(payload).toString())
}

suite('an append in doubt', { skip: withoutServer() }, () => {
  for (const kind of ['lose', 'swallow'] as const) {
    test(`is stored once by the retry, and the same payload again is another entry: ${kind}`, (t) => {
      const { db, proxy } = startPlace(t)
      WriterLog.append(db, ...LOG, 'first')
      proxy.set({ fault: { kind }, containing: 'again' })
      assert.throws(() => WriterLog.append(db, ...LOG, 'again'), InDoubtError)
      proxy.set({ fault: { kind: 'pass' } })
      assert.equal(WriterLog.append(db, ...LOG, 'again').seq, 2n)
      assert.equal(WriterLog.append(db, ...LOG, 'again').seq, 3n)
      assert.deepEqual(payloads(db), ['first', 'again', 'again'])
    })
  }

  for (const kind of ['lose', 'swallow'] as const) {
    test(`is settled by a retry that expects the same head, and no other: ${kind}`, (t) => {
      const { db, proxy } = startPlace(t)
      const expectedHead = WriterLog.append(db, ...LOG, 'first')
      const again = (head: Head | null) =>
        WriterLog.append(db, ...LOG, 'again', { expectedHead: head })
      proxy.set({ fault: { kind }, containing: 'again' })
      assert.throws(() => again(expectedHead), InDoubtError)
      proxy.set({ fault: { kind: 'pass' } })
      assert.throws(() => again(null), ConflictError)
      assert.equal(again(expectedHead).seq, 2n)
      assert.deepEqual(payloads(db), ['first', 'again'])
    })
  }

  test('is still one while no server can be asked', (t) => {
    const { db, proxy } = startPlace(t)
    WriterLog.append(db, ...LOG, 'first')
    for (const plan of [
      { fault: { kind: 'swallow' }, containing: 'again' },
      { fault: { kind: 'lose' } },
    ] as const) {
      proxy.set(plan)
      const error = errorOf(() => WriterLog.append(db, ...LOG, 'again'))
      assert.ok(error instanceof InDoubtError, String(error))
      assert.ok(error.cause instanceof ConnectionError, String(error.cause))
    }
    proxy.set({ fault: { kind: 'pass' } })
    assert.equal(WriterLog.append(db, ...LOG, 'again').seq, 2n)
    assert.deepEqual(payloads(db), ['first', 'again'])
  })

  test('is found out about when the answer to the commit behind the lock was lost', (t) => {
    const { db, proxy, rival } = startPlace(t)
    WriterLog.append(db, ...LOG, 'first')
    // Others are quicker until the lock is held.
    const { exec } = db
    db.exec = (sql, params) => {
      if (!db.inTransaction) WriterLog.append(rival, ...LOG, 'rival')
      return exec.call(db, sql, params)
    }
    proxy.set({ fault: { kind: 'swallow' }, containing: 'COMMIT\0' })
    assert.throws(() => WriterLog.append(db, ...LOG, 'mine'), InDoubtError)
    proxy.set({ fault: { kind: 'pass' } })
    db.exec = exec
    const stored = payloads(rival)
    assert.equal(stored.at(-1), 'mine')
    assert.equal(WriterLog.append(db, ...LOG, 'mine').seq, BigInt(stored.length))
    assert.deepEqual(payloads(db), stored)
  })
})
