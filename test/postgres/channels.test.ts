/**
 * Notifications reach the event loop, whatever the connection does meanwhile, and whoever may
 * have missed one is told.
 */
import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import { BackendError, ConnectionError, DeadlineError, type StoreError } from 'agent-store'
import { type Notification, PgBackend, type PgOptions } from 'agent-store/postgres'
import { uncaughtFrom } from '../support.ts'
import { errorOf, pause } from './meanwhile.ts'
import { type Proxy as NetworkProxy, startProxy } from './proxy.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const skip = withoutServer()

let server: Server | undefined
let proxy: NetworkProxy | undefined
after(() => {
  proxy?.[Symbol.dispose]()
  server?.[Symbol.dispose]()
})

function connect(t: TestContext, options: PgOptions = {}): PgBackend {
  server ??= startServer({ fsync: false })
  const db = PgBackend.connect({ url: server.url(), ...options })
  t.after(() => db.close())
  return db
}

function viaProxy(t: TestContext, options: PgOptions = {}): [PgBackend, NetworkProxy] {
  server ??= startServer({ fsync: false })
  proxy ??= startProxy(server.port)
  proxy.set({ fault: { kind: 'pass' } })
  return [connect(t, { url: proxy.url(server.url()), ...options }), proxy]
}

/** Keeps what it hears. */
class Ear {
  readonly heard: string[] = []
  readonly reasons: StoreError[] = []

  notification({ payload }: Notification): void {
    this.heard.push(payload)
  }

  interrupted(reason: StoreError): void {
    this.reasons.push(reason)
  }
}

async function until(done: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!done()) {
    assert.ok(performance.now() < deadline, 'waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function notify(db: PgBackend, channel: string, payload: string): void {
  db.query('SELECT pg_notify(?, ?)', [channel, payload])
}

function terminate(admin: PgBackend, db: PgBackend): void {
  const pid = db.query('SELECT pg_backend_pid()')[0]?.[0] ?? null
  admin.query('SELECT pg_terminate_backend(?::int, 5000)', [pid])
}

test('a notification is heard by an idle connection, a busy one, and its own sender', {
  skip,
}, async (t) => {
  const [db, sender] = [connect(t), connect(t)]
  const ear = new Ear()
  const stop = db.listen('news', ear)
  notify(sender, 'news', 'idle')
  await until(() => ear.heard.length === 1)
  notify(sender, 'news', 'busy')
  for (let n = 0; n < 50; n++) db.query('SELECT 1')
  assert.equal(ear.heard.length, 1, 'never from inside of a call')
  await until(() => ear.heard.length === 2)
  notify(db, 'news', 'own')
  await until(() => ear.heard.length === 3)
  db.transaction(() => {
    notify(db, 'news', 'committed')
    pause(50)
  })
  await until(() => ear.heard.length === 4)
  assert.deepEqual(ear.heard, ['idle', 'busy', 'own', 'committed'])
  stop()
  stop()
  notify(sender, 'news', 'late')
  pause(50)
  db.query('SELECT 1')
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(ear.heard.length, 4)
  assert.deepEqual(ear.reasons, [])
})

test('what is sent before listen returns is heard', { skip }, async (t) => {
  for (let n = 0; n < 8; n++) {
    const [db, sender] = [connect(t), connect(t)]
    const ear = new Ear()
    // At the moment in which the server listens already, and the event loop is not told yet.
    const exec = db.exec.bind(db)
    db.exec = (sql, params) => {
      const count = exec(sql, params)
      notify(sender, 'early', 'bird')
      pause(5)
      return count
    }
    db.listen('early', ear)
    await until(() => ear.heard.length === 1)
    sender.close()
    db.close()
  }
})

test('a thousand notifications are heard in order, more than the buffer holds', {
  skip,
}, async (t) => {
  const [db, sender] = [connect(t), connect(t)]
  const ear = new Ear()
  db.listen('many', ear)
  const filler = 'x'.repeat(1000)
  sender.transaction(() => {
    for (let n = 0; n < 1000; n++) notify(sender, 'many', `${n} ${filler}`)
  })
  pause(200)
  await until(() => ear.heard.length === 1000)
  assert.deepEqual(
    ear.heard.map((payload) => Number.parseInt(payload, 10)),
    ear.heard.map((_, n) => n),
  )
})

test('a listener that throws harms no other, and each channel has its own', { skip }, async (t) => {
  const [db, sender] = [connect(t), connect(t)]
  const [one, two, three] = [new Ear(), new Ear(), new Ear()]
  const failure = new Error('a listener failed')
  db.listen('a', {
    notification: () => {
      throw failure
    },
  })
  db.listen('a', one)
  db.listen('a', two)
  db.listen('Ünï "quoted"', three)
  notify(sender, 'a', '1')
  notify(sender, 'Ünï "quoted"', '2')
  pause(50)
  const caught = await uncaughtFrom(() => db.query('SELECT 1'))
  await until(() => one.heard.length + two.heard.length + three.heard.length === 3)
  assert.deepEqual([one.heard, two.heard, three.heard], [['1'], ['1'], ['2']])
  if (caught.length > 0) assert.deepEqual(caught, [failure])
})

test('listeners are told once when an idle session ends', { skip }, async (t) => {
  const [db, admin] = [connect(t), connect(t)]
  const [one, two] = [new Ear(), new Ear()]
  db.listen('a', one)
  db.listen('b', two)
  terminate(admin, db)
  await until(() => one.reasons.length + two.reasons.length === 2)
  const [reason] = one.reasons
  assert.ok(reason instanceof ConnectionError)
  assert.equal(reason.driverCode, '57P01')
  assert.throws(() => db.query('SELECT 1'), { driverCode: '57P01' })
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual([one.reasons.length, two.reasons.length], [1, 1])
})

test('listeners are told when the connection breaks without a word', { skip }, async (t) => {
  const [db, way] = viaProxy(t)
  const ear = new Ear()
  db.listen('a', ear)
  way[Symbol.dispose]()
  proxy = undefined
  await until(() => ear.reasons.length === 1)
  assert.ok(ear.reasons[0] instanceof ConnectionError)
})

test('listeners are told of a loss that a call has met', { skip }, async (t) => {
  const [db, way] = viaProxy(t, { deadlineMs: 200, reconnect: true })
  const ear = new Ear()
  db.listen('a', ear)
  way.set({ fault: { kind: 'silence', towards: 'both' } })
  assert.throws(() => db.query('SELECT 1'), DeadlineError)
  way.set({ fault: { kind: 'pass' } })
  db.query('SELECT 1')
  await until(() => ear.reasons.length === 1)
  assert.ok(ear.reasons[0] instanceof DeadlineError)
  notify(db, 'a', 'again')
  await until(() => ear.heard.length === 1)
  assert.equal(ear.reasons.length, 1)
})

test('a backend that reconnects listens again by its next call, and says what may be missed', {
  skip,
}, async (t) => {
  const db = connect(t, { reconnect: true })
  const sender = connect(t)
  const [one, two] = [new Ear(), new Ear()]
  db.listen('a', one)
  db.listen('b', two)
  terminate(sender, db)
  pause(100)
  notify(sender, 'a', 'missed')
  db.query('SELECT 1')
  notify(sender, 'a', 'heard')
  notify(sender, 'b', 'as well')
  await until(() => one.heard.length + two.heard.length === 2)
  assert.deepEqual([one.heard, two.heard], [['heard'], ['as well']])
  assert.deepEqual([one.reasons.length, two.reasons.length], [1, 1])
})

test('a reconnect that cannot listen again fails, and the next one listens', {
  skip,
}, async (t) => {
  const [db, way] = viaProxy(t, { reconnect: true })
  const ear = new Ear()
  db.listen('a', ear)
  terminate(connect(t), db)
  pause(100)
  const refusal = Buffer.from('E    VERROR\0C25006\0Mnot while the test says so\0\0')
  refusal.writeInt32BE(refusal.length - 1, 1)
  way.set({ fault: { kind: 'inject', hex: refusal.toString('hex') }, containing: 'LISTEN' })
  assert.throws(() => db.query('SELECT 1'), { driverCode: '25006' })
  way.set({ fault: { kind: 'pass' } })
  notify(db, 'a', 'heard')
  await until(() => ear.heard.length === 1)
})

test('a listener that throws when it is interrupted harms no other', { skip }, async (t) => {
  const [db, admin] = [connect(t), connect(t)]
  const ear = new Ear()
  const failure = new Error('a listener failed')
  db.listen('a', {
    notification: () => undefined,
    interrupted: () => {
      throw failure
    },
  })
  db.listen('a', ear)
  terminate(admin, db)
  pause(100)
  const caught = await uncaughtFrom(() => errorOf(() => db.query('SELECT 1')))
  await until(() => ear.reasons.length === 1)
  assert.deepEqual(caught, [failure])
})

test('a payload that is too long is refused, and the connection lives on', { skip }, (t) => {
  const db = connect(t)
  const error = errorOf(() => notify(db, 'a', 'x'.repeat(8000)))
  assert.ok(error instanceof BackendError, String(error))
  assert.equal(error.driverCode, '22023')
  notify(db, 'a', 'x'.repeat(7999))
})

test('a channel must be a name, and listen stands outside of transactions', { skip }, (t) => {
  const db = connect(t)
  assert.throws(() => db.listen('', new Ear()), TypeError)
  assert.throws(() => db.listen('a\0', new Ear()), TypeError)
  assert.throws(() => db.listen('ä'.repeat(32), new Ear()), RangeError)
  db.listen(`${'ä'.repeat(31)}x`, new Ear())
  assert.throws(() => db.transaction(() => db.listen('a', new Ear())), TypeError)
})
