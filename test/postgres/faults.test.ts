/**
 * What a call does when its server restarts, crashes, freezes, hangs up or has no room: it ends
 * in time, and says truly whether something can have been stored.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import {
  BackendError,
  ConnectionError,
  DeadlineError,
  InDoubtError,
  StoreError,
  type Value,
} from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { errorOf, pause, signalSoon, timeOf } from './meanwhile.ts'
import { waitUntil } from './process-table.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const skip = withoutServer()
/** Far above what any of these calls takes. */
const LONG_MS = 20_000

let shared: Server | undefined
after(() => shared?.[Symbol.dispose]())

/** The server of this file, running. */
function running(): Server {
  if (shared === undefined) shared = startServer({ fsync: false })
  else if (!isRunning(shared)) shared.start()
  return shared
}

function isRunning({ folder }: Server): boolean {
  return fs.existsSync(join(folder, 'data/postmaster.pid'))
}

function connect(t: TestContext, server: Server, options: PgOptions = {}): PgBackend {
  const db = PgBackend.connect({ url: server.url(), deadlineMs: LONG_MS, ...options })
  t.after(() => db.close())
  return db
}

/** An empty table `n` with one column `v`. */
function withTable(db: PgBackend): PgBackend {
  db.exec('DROP TABLE IF EXISTS n')
  db.exec('CREATE TABLE n (v bigint)')
  // So that the server knows it: a statement's first use asks it before anything is written.
  db.exec('INSERT INTO n VALUES (1)')
  db.exec('DELETE FROM n')
  return db
}

function stored(server: Server): readonly Value[] {
  using db = PgBackend.connect(server.url())
  return db.query('SELECT v FROM n ORDER BY v').map(([v = null]) => v)
}

/** Have the server end the session of `db`, and wait until it has heard of it. */
function terminate(server: Server, db: PgBackend): void {
  const pid = db.query('SELECT pg_backend_pid()')[0]?.[0] ?? null
  using admin = PgBackend.connect(server.url())
  admin.query('SELECT pg_terminate_backend(?::int, 5000)', [pid])
  pause(200)
}

for (const { what, signal, to, driverCode } of [
  { what: 'restarts', signal: 'INT', to: 'first', driverCode: '57P01' },
  { what: 'crashes', signal: 'KILL', to: 'all', driverCode: 'ECONNRESET' },
] as const) {
  for (const { call, sql, type } of [
    { call: 'a read', sql: 'SELECT pg_sleep(60)', type: ConnectionError },
    { call: 'a write', sql: 'INSERT INTO n SELECT 1 FROM pg_sleep(60)', type: InDoubtError },
  ]) {
    test(`a server that ${what} in the midst of ${call} ends it at once`, { skip }, (t) => {
      const server = running()
      const db = withTable(connect(t, server))
      signalSoon(server, signal, to)
      let error: unknown
      const tookMs = timeOf(() => {
        error = errorOf(() => db.query(sql))
      })
      assert.ok(tookMs < LONG_MS / 2, `${tookMs} ms`)
      assert.ok(error instanceof type, String(error))
      const loss = error instanceof ConnectionError ? error : error.cause
      assert.ok(loss instanceof ConnectionError, String(loss))
      assert.equal(loss.driverCode, driverCode)
      if (signal === 'KILL') server.kill()
      else waitUntil('the server has stopped', () => !isRunning(server))
    })
  }
}

for (const { call, prepare, work, type } of [
  {
    call: 'a read',
    work: (db: PgBackend) => db.query('SELECT count(*) FROM n'),
    type: DeadlineError,
  },
  {
    call: 'a write in a transaction',
    work: (db: PgBackend) => db.exec('INSERT INTO n VALUES (1)'),
    prepare: (db: PgBackend, freeze: () => void, work: () => void) =>
      db.transaction(() => {
        freeze()
        work()
      }),
    type: DeadlineError,
  },
  {
    call: 'a write by itself',
    work: (db: PgBackend) => db.exec('INSERT INTO n VALUES (1)'),
    type: InDoubtError,
  },
  {
    call: 'a commit',
    work: () => undefined,
    prepare: (db: PgBackend, freeze: () => void) =>
      db.transaction(() => {
        db.exec('INSERT INTO n VALUES (1)')
        freeze()
      }),
    type: InDoubtError,
  },
]) {
  test(`a frozen server ends ${call} at the deadline, and the next calls at once`, {
    skip,
  }, (t) => {
    const server = running()
    const db = withTable(connect(t, server, { deadlineMs: 500 }))
    t.after(() => server.thaw())
    const error = errorOf(() => {
      const freeze = () => server.freeze()
      if (prepare !== undefined) prepare(db, freeze, () => work(db))
      else {
        freeze()
        work(db)
      }
    })
    assert.ok(error instanceof type, String(error))
    if (error instanceof InDoubtError) assert.ok(error.cause instanceof DeadlineError)
    assert.equal(db.inTransaction, false)
    const again = () => {
      const refusal = errorOf(() => db.query('SELECT 1'))
      assert.ok(refusal instanceof ConnectionError, String(refusal))
      assert.match(refusal.message, /no answer .* 500 ms.*connect again, or set reconnect/)
    }
    assert.ok(timeOf(again) < 400)
    server.thaw()
    pause(50)
    again() // a late answer is nobody's
  })
}

test('what takes long by nature is waited for patiently, and only that', { skip }, (t) => {
  const db = withTable(connect(t, running(), { deadlineMs: 300 }))
  const slow = () => db.query('SELECT 1 FROM pg_sleep(0.7)')
  assert.deepEqual(db.patiently(slow), [[1n]])
  const inTransaction = () =>
    db.transaction(() => {
      slow()
      return db.exec('INSERT INTO n VALUES (1)')
    })
  assert.equal(db.patiently(inTransaction), 1)
  assert.throws(() => db.patiently(() => db.query('SELECT 1 / 0')), { code: 'STORE_BACKEND' })
  assert.throws(slow, { code: 'STORE_DEADLINE' })
  assert.throws(() => db.patiently(slow), { code: 'STORE_CONNECTION' })
})

test('a session that was ended while idle says why, and nothing was sent', { skip }, (t) => {
  const server = running()
  const db = withTable(connect(t, server))
  terminate(server, db)
  const error = errorOf(() => db.exec('INSERT INTO n VALUES (1)'))
  assert.ok(error instanceof ConnectionError, String(error))
  assert.equal(error.driverCode, '57P01')
  assert.deepEqual(stored(server), [])
})

test('a server that crashed while a session was idle is no doubt', { skip }, (t) => {
  const server = running()
  const db = withTable(connect(t, server))
  server.kill()
  pause(200)
  const error = errorOf(() => db.exec('INSERT INTO n VALUES (1)'))
  assert.ok(error instanceof ConnectionError, String(error))
  assert.equal(error.driverCode, 'ECONNRESET')
})

test('a session that ends in a transaction leaves nothing of it, and no doubt', { skip }, (t) => {
  const server = running()
  for (const last of [() => undefined, (db: PgBackend) => db.exec('INSERT INTO n VALUES (2)')]) {
    const db = withTable(connect(t, server))
    const error = errorOf(() =>
      db.transaction(() => {
        db.exec('INSERT INTO n VALUES (1)')
        terminate(server, db)
        last(db)
      }),
    )
    assert.ok(error instanceof ConnectionError, String(error))
    assert.equal(error.driverCode, '57P01')
    assert.deepEqual(stored(server), [])
  }
})

test('a callback that swallows the loss of its transaction is told, and none reconnects', {
  skip,
}, (t) => {
  const server = running()
  const db = withTable(connect(t, server, { reconnect: true }))
  const error = errorOf(() =>
    db.transaction(() => {
      db.exec('INSERT INTO n VALUES (1)')
      terminate(server, db)
      for (const value of [2n, 3n]) {
        assert.throws(() => db.exec('INSERT INTO n VALUES (?)', [value]), ConnectionError)
      }
    }),
  )
  assert.ok(error instanceof StoreError, String(error))
  assert.deepEqual(stored(server), [])
  assert.equal(db.exec('INSERT INTO n VALUES (4)'), 1)
  assert.deepEqual(stored(server), [4n])
})

test('reconnect makes a lost connection again by the next call, a crash included', {
  skip,
}, (t) => {
  const server = running()
  const db = withTable(connect(t, server, { reconnect: true }))
  terminate(server, db)
  assert.equal(db.exec('INSERT INTO n VALUES (1)'), 1)
  server.kill()
  pause(200)
  assert.throws(() => db.query('SELECT v FROM n'), { driverCode: 'ECONNREFUSED' })
  server.start()
  assert.equal(db.exec('INSERT INTO n VALUES (2)'), 1)
})

test('without reconnect, a lost connection says how to go on', { skip }, (t) => {
  const server = running()
  const db = withTable(connect(t, server))
  terminate(server, db)
  for (const _ of [1, 2]) {
    assert.throws(() => db.query('SELECT 1'), /connect again, or set reconnect/)
  }
})

test('statement_timeout refuses the statement alone', { skip }, (t) => {
  const db = connect(t, running())
  db.exec('SET statement_timeout = 50')
  assert.throws(
    () => db.query('SELECT pg_sleep(30)'),
    (error) => error instanceof BackendError && error.driverCode === '57014',
  )
  db.exec('RESET statement_timeout')
  assert.deepEqual(db.query('SELECT 1::bigint'), [[1n]])
})

test('the reason that a server gives wins over the reset that follows it', { skip }, (t) => {
  const server = running()
  const db = connect(t, server)
  // It hangs up with most of this unread, which the system answers by a reset.
  const large = new Uint8Array(8 * 2 ** 20)
  const sql = 'SELECT length(?::bytea)'
  db.query(sql, [large])
  const pid = db.query('SELECT pg_backend_pid()')[0]?.[0]
  spawn('sh', ['-c', `sleep 0.3; kill -TERM ${pid}`], { stdio: 'ignore' })
  const error = errorOf(() => {
    for (;;) db.query(sql, [large])
  })
  assert.ok(error instanceof ConnectionError, String(error))
  assert.equal(error.driverCode, '57P01')
})
