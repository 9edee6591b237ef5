/**
 * The worker that moves the bytes: it holds no process, whatever ends it ends the call that
 * waits, and no count of bytes is too large for it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import threads, { type Transferable, type WorkerOptions } from 'node:worker_threads'
import { ConnectionError, DeadlineError, InDoubtError } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { CELL, type Commission } from '../../src/postgres/pump/commission.ts'
import { SocketPump } from '../../src/postgres/pump/pump.ts'
import { PumpWorker } from '../../src/postgres/pump/pump-worker.ts'
import { noise } from '../support.ts'
import { errorOf, pause, timeOf } from './meanwhile.ts'
import { databaseUrl, withoutDatabase } from './server.ts'

const skip = withoutDatabase()
const CONNECTIONS = Number(process.env.CONNECTIONS ?? 25)
const isOnNode = !('bun' in process.versions || 'deno' in process.versions)
const simulated = skip || (!isOnNode && 'the simulation replaces a class of Node')

/** What is changed of a worker: that is the simulation of its faults. */
interface Change {
  /** More source. */
  readonly more?: string
  readonly options?: WorkerOptions
  readonly commission?: (commission: Commission) => void
}

/** The end of the changed worker that was started last. */
let ended: Promise<unknown> | undefined

/** Connect by a new worker, which is changed. */
function connectWith({ more = '', options, commission }: Change, to: PgOptions): PgBackend {
  const { Worker } = threads
  const Changed = class extends Worker {
    constructor(source: string | URL, given: WorkerOptions = {}) {
      super(source + more, { ...given, ...options })
      ended = once(this, 'exit').catch(() => undefined)
    }

    override postMessage(message: Commission, transfer: Transferable[]): void {
      commission?.(message)
      super.postMessage(message, transfer)
    }
  }
  try {
    PumpWorker.start().end('a test is to have its own')
    Object.assign(threads, { Worker: Changed })
    syncBuiltinESMExports()
    return PgBackend.connect({ url: databaseUrl(), ...to })
  } finally {
    Object.assign(threads, { Worker })
    syncBuiltinESMExports()
  }
}

/** A connection whose worker runs `fault` soon after it was to send the word `harm`. */
function faulty(fault: string, options: WorkerOptions = {}, afterMs = 20): PgBackend {
  const more = `;parentPort.on('message', ({ port }) => port.on('message', (message) => {
    if (message instanceof Uint8Array && Buffer.from(message).includes('harm')) {
      setTimeout(() => { ${fault} }, ${afterMs})
    }
  }))`
  return connectWith({ more, options }, { deadlineMs: 1000 })
}

const FAULTS: readonly { what: string; fault: string; options?: WorkerOptions; late?: true }[] = [
  { what: 'throws', fault: "throw new Error('a fault of the worker')" },
  { what: 'rejects', fault: "Promise.reject(new Error('a fault of the worker'))" },
  { what: 'exits', fault: 'process.exit(3)' },
  {
    what: 'has nothing left to do',
    fault: `for (const { socket, port } of connections) {
      socket.removeAllListeners()
      socket.destroy()
      port.close()
    }
    parentPort.close()`,
  },
  {
    what: 'runs out of memory',
    fault: 'for (const all = []; ; ) all.push(new Array(1e4).fill(all.length))',
    options: { resourceLimits: { maxOldGenerationSizeMb: 12 } },
    late: true, // it is killed, and cannot tell
  },
  { what: 'hangs', fault: 'for (;;);', late: true },
]

for (const { what, fault, options, late = false } of FAULTS) {
  test(`a worker that ${what} while we wait ends the call`, { skip: simulated }, () => {
    using db = faulty(fault, options)
    let error: unknown
    const tookMs = timeOf(() => {
      error = errorOf(() => db.query('SELECT pg_sleep(20) AS harm'))
    })
    assert.ok(error instanceof (late ? DeadlineError : ConnectionError), String(error))
    assert.ok(tookMs < 8000, `${tookMs} ms`)
    const again = errorOf(() => db.query('SELECT 1'))
    assert.ok(again instanceof ConnectionError, String(again))
  })

  test(`a worker that ${what} between two calls leaves no doubt`, { skip: simulated }, async () => {
    using db = faulty(fault, options, 400)
    db.query('SELECT 1 AS harm')
    if (what === 'hangs') await new Promise((resolve) => setTimeout(resolve, 500))
    else await ended
    const error = errorOf(() => db.exec('DEALLOCATE ALL'))
    if (what === 'hangs') assert.ok(error instanceof DeadlineError, String(error))
    else assert.ok(error instanceof ConnectionError, String(error))
  })
}

for (const { what, fault, options, late = false } of FAULTS) {
  test(`a worker that ${what} ends its other connections as well, and the next one has another`, {
    skip: simulated,
  }, async () => {
    using db = faulty(fault, options)
    using other = PgBackend.connect({ url: databaseUrl(), deadlineMs: 1000 })
    using listening = PgBackend.connect(databaseUrl())
    let interruptions = 0
    const interrupted = () => {
      interruptions++
    }
    listening.listen('a', { notification() {}, interrupted })
    const error = errorOf(() => db.query('SELECT pg_sleep(20) AS harm'))
    assert.ok(error instanceof (late ? DeadlineError : ConnectionError), String(error))
    assert.equal(interruptions, 0)
    const tookMs = timeOf(() => {
      assert.throws(() => other.exec('CREATE TABLE never (n int)'), {
        code: 'STORE_CONNECTION',
        driverCode: 'EWORKER',
      })
    })
    assert.ok(tookMs < 500, `${tookMs} ms`)
    using next = PgBackend.connect(databaseUrl())
    assert.deepEqual(next.query('SELECT 1::bigint'), [[1n]])
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.equal(interruptions, 1)
    assert.deepEqual(next.query('SELECT 2::bigint'), [[2n]])
  })
}

test('a transport that is closed sends no more, and has no more', { skip }, () => {
  const { hostname: host, port } = new URL(databaseUrl())
  const transport = SocketPump.connect({ host, port: Number(port) }, 5_000)
  transport.onArrival(() => assert.fail('there is nothing to hear'))
  transport.onArrival(null)
  transport.close()
  assert.throws(() => transport.send(Uint8Array.of(1)), /the connection is closed/)
  assert.equal(transport.poll(), undefined)
  transport.keepAlive(true)
  transport.destroy()
})

test('a connection that is given up at its deadline leaves the others as they are', {
  skip,
}, () => {
  const worker = PumpWorker.start()
  using other = PgBackend.connect(databaseUrl())
  for (let n = 0; n < 5; n++) {
    using db = PgBackend.connect({ url: databaseUrl(), deadlineMs: 50 })
    assert.throws(() => db.query('SELECT pg_sleep(20)'), DeadlineError)
    assert.deepEqual(other.query('SELECT 1::bigint'), [[1n]])
  }
  assert.equal(PumpWorker.start(), worker)
})

test('a connection that is flooded, and does not read, does not hold up another', { skip }, () => {
  using db = PgBackend.connect(databaseUrl())
  using flooded = PgBackend.connect(databaseUrl())
  flooded.ahead("SELECT repeat('x', 1000000) FROM generate_series(1, 100)", [])
  for (let n = 0n; n < 300n; n++) assert.deepEqual(db.query('SELECT ?::bigint', [n]), [[n]])
  const rows = flooded.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)")
  assert.equal(rows.length, 100)
})

test('connections in any number need one thread', {
  skip: skip || (process.platform !== 'linux' && 'it counts in /proc'),
}, () => {
  using first = PgBackend.connect(databaseUrl())
  first.query('SELECT 1')
  const before = fs.readdirSync('/proc/self/task').length
  using many = new DisposableStack()
  for (let n = 0; n < 8; n++) many.use(PgBackend.connect(databaseUrl())).query('SELECT 1')
  assert.equal(fs.readdirSync('/proc/self/task').length, before)
})

test('a fault of the worker that a write waits for is a doubt', { skip: simulated }, () => {
  using db = faulty('process.exit(3)', {}, 400)
  const error = errorOf(() => db.exec("DO 'BEGIN PERFORM pg_sleep(20); /* harm */ END'"))
  assert.ok(error instanceof InDoubtError, String(error))
})

test('what a server said before a write to it failed is what the call throws', {
  skip: simulated,
}, () => {
  // The worker writes only after the server has hung up, with bytes before it unread: a reset.
  const more = `;const net = require('node:net')
  const { write } = net.Socket.prototype
  net.Socket.prototype.write = function (bytes, ...rest) {
    if (Buffer.from(bytes).includes('harm')) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
    }
    return write.call(this, bytes, ...rest)
  }`
  using db = connectWith({ more }, {})
  db.exec('CREATE TEMP TABLE t (a text)')
  const insert = 'INSERT INTO t VALUES (?)'
  db.execMany(insert, [['first']])
  const pid = String(db.query('SELECT pg_backend_pid()')[0]?.[0])
  const shell = `kill -STOP ${pid}; sleep 0.3; kill -TERM ${pid}; kill -CONT ${pid}`
  spawn('sh', ['-c', shell], { stdio: 'ignore' })
  pause(200)
  const rows = ['x'.repeat(70_000), 'harm', 'x'.repeat(70_000)].map((text) => [text])
  const error = errorOf(() => db.execMany(insert, rows))
  const reason = error instanceof InDoubtError ? error.cause : error
  assert.ok(reason instanceof ConnectionError, String(error))
  assert.equal(reason.driverCode, '57P01')
})

test('the count of bytes may wrap at 2^32, and the ring with it', { skip: simulated }, () => {
  for (const before of [100, 4096, 262_144, 300_000]) {
    const commission = ({ control }: Commission) => {
      control[CELL.written] = -before
      control[CELL.read] = -before
      control[CELL.signal] = 2 ** 31 - 3
    }
    using db = connectWith({ commission }, {})
    for (const length of [1, 50, 4000, 262_100, 700_000, 3]) {
      const bytes = noise(length, length)
      const [row] = db.query('SELECT ?::bytea', [bytes])
      assert.deepEqual(row, [bytes])
    }
  }
})

test('answers of every size around that of the ring come whole', { skip }, () => {
  using db = PgBackend.connect(databaseUrl())
  for (let length = 262_144 - 40; length <= 262_144 + 8; length++) {
    const [[text] = []] = db.query("SELECT repeat('x', ?::int)", [BigInt(length)])
    assert.equal(typeof text === 'string' && text.length, length)
  }
})

/** A process that does `work` with a connection `db`, and how it ended. */
async function run(
  work: string,
): Promise<{ status: unknown; stdout: string; stderr: string; ms: number }> {
  const program = `
    import { PgBackend } from 'agent-store/postgres'
    import { ConnectionError, DeadlineError } from 'agent-store'
    import { Worker } from 'node:worker_threads'
    const url = ${JSON.stringify(databaseUrl())}
    const db = PgBackend.connect({ url, deadlineMs: 300 })
    ${work}`
  const start = performance.now()
  const args = ['-C', '@agent-store/source', '--input-type=module', '--eval', program]
  const child = spawn(process.execPath, args, { cwd: import.meta.dirname, timeout: 30_000 })
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<unknown[]>,
  ])
  return { status, stdout, stderr, ms: performance.now() - start }
}

const LIVES: readonly { what: string; work: string; status: number; prints?: string }[] = [
  { what: 'an idle connection', work: "db.query('SELECT 1')", status: 0 },
  { what: 'a closed connection', work: 'db.close()', status: 0 },
  {
    what: 'a connection that timed out',
    work: "try { db.query('SELECT pg_sleep(60)') } catch (e) { console.log(e.code) }",
    status: 0,
    prints: 'STORE_DEADLINE\n',
  },
  { what: 'a listening connection', work: "db.listen('a', { notification() {} })", status: 0 },
  {
    what: 'a connection that was to keep it alive, and is not any more',
    work: "db.listen('a', { notification() {} }); db.keepAlive(true); db.keepAlive(false)",
    status: 0,
  },
  {
    what: 'a connection that kept it alive, and was closed',
    work: "db.listen('a', { notification() {} }); db.keepAlive(true); setTimeout(() => db.close(), 20)",
    status: 0,
  },
  { what: 'an exit code of its own', work: 'process.exitCode = 7', status: 7 },
  {
    what: 'process.exit',
    work: "db.listen('a', { notification() {} }); process.exit(5)",
    status: 5,
  },
  { what: 'an error of its own', work: "throw new Error('its own')", status: 1 },
  {
    what: 'an exit in a transaction',
    work: "db.transaction(() => { db.query('SELECT 1'); process.exit(6) })",
    status: 6,
  },
  {
    what: 'calls from an exit handler',
    work: "process.on('exit', () => console.log(db.query('SELECT 2::bigint')[0][0]))",
    status: 0,
    prints: '2n\n',
  },
  {
    what: 'notifications that keep it alive',
    work: `db.listen('a', { notification: ({ payload }) => { console.log(payload); db.keepAlive(false) } })
      db.keepAlive(true)
      setTimeout(() => { PgBackend.connect(url).query("SELECT pg_notify('a', 'heard')") }, 50).unref()
      setTimeout(() => undefined, 100)`,
    status: 0,
    prints: 'heard\n',
  },
  {
    what: 'calls from a timer, a promise and a microtask',
    work: `const ask = (n) => console.log(db.query('SELECT ?::bigint', [n])[0][0])
      await Promise.resolve().then(() => ask(1n))
      queueMicrotask(() => ask(2n))
      setTimeout(() => ask(3n), 1)
      setImmediate(() => db.transaction(() => ask(4n)))`,
    status: 0,
  },
  {
    what: 'calls from a worker thread',
    work: `const source = \`import { workerData, parentPort } from 'node:worker_threads'
        import { PgBackend } from 'agent-store/postgres'
        const db = PgBackend.connect(workerData)
        parentPort.postMessage(db.query('SELECT 5::bigint')[0][0])\`
      new Worker(source, { eval: true, workerData: url }).on('message', (n) => console.log(n))`,
    status: 0,
    prints: '5n\n',
  },
]

describe('a process ends as it would', { concurrency: 3 }, () => {
  for (const { what, work, status, prints } of LIVES) {
    test(`with ${what}`, { skip }, async () => {
      const ended = await run(work)
      assert.equal(ended.status, status, ended.stderr)
      if (prints !== undefined) assert.equal(ended.stdout, prints)
      if (status === 0) assert.equal(ended.stderr, '')
      assert.ok(ended.ms < 15_000, `${ended.ms} ms`)
    })
  }
})

test(`${CONNECTIONS} connections leave no thread and no socket behind`, {
  skip: skip || (process.platform !== 'linux' && 'it counts in /proc'),
}, async () => {
  const count = () => ({
    threads: fs.readdirSync('/proc/self/task').length,
    files: fs.readdirSync('/proc/self/fd').length,
  })
  const cycle = () => {
    using db = PgBackend.connect(databaseUrl())
    db.query('SELECT 1')
  }
  for (let n = 0; n < 5; n++) cycle()
  await settled(count)
  const before = count()
  for (let n = 0; n < CONNECTIONS; n++) cycle()
  await settled(count)
  const left = count()
  assert.ok(left.threads <= before.threads, JSON.stringify({ before, left }))
  assert.ok(left.files <= before.files, JSON.stringify({ before, left }))
})

/** Wait until what is counted has not changed for a while. */
async function settled(count: () => unknown): Promise<void> {
  for (let same = 0, last = ''; same < 20; ) {
    await new Promise((resolve) => setTimeout(resolve, 25))
    const now = JSON.stringify(count())
    same = now === last ? same + 1 : 0
    last = now
  }
}

test('refused connections leave no thread behind either', {
  skip: skip || (process.platform !== 'linux' && 'it counts in /proc'),
}, async () => {
  const count = () => fs.readdirSync('/proc/self/task').length
  const url = new URL(databaseUrl())
  url.password = 'wrong'
  const refuse = () => assert.throws(() => PgBackend.connect(url), { driverCode: '28P01' })
  refuse()
  await settled(count)
  const before = count()
  for (let n = 0; n < 8; n++) refuse()
  await settled(count)
  assert.ok(count() <= before)
})
