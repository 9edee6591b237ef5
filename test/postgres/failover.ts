/**
 * A failover under load: the primary of a synchronous pair is killed, its standby takes over,
 * and then the primary comes back as it was, so that two servers take writes.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { type ClientTask, STREAM } from './failover-client.ts'
import type { Installation } from './installation.ts'
import { waitUntil } from './process-table.ts'
import { type Server, startServer } from './server.ts'
import { startStandby } from './standby.ts'

const CLIENT = join(import.meta.dirname, 'failover-client.ts')

/** An append that was acknowledged. */
interface Stored {
  readonly writer: string
  readonly seq: bigint
  readonly hash: string
  /** The client's own number of the payload. */
  readonly number: number
  readonly atMs: number
}

/** A client process. */
export interface Client extends Disposable {
  readonly label: string
  stored(): Stored[]
  /** What it was told instead of an acknowledgement. */
  failures(): string[]
  /** Wait until `count` more appends are acknowledged. */
  awaitMore(count: number): void
  /** Wait until it was told what `pattern` finds. */
  awaitFailure(pattern: RegExp): void
  /** SIGKILL. */
  [Symbol.dispose](): void
}

/** Start a client that keeps its journal in `folder`. */
export function startClient(task: Omit<ClientTask, 'journal'>, folder: string): Client {
  const journal = join(folder, `${task.label}.journal`)
  const complaints = join(folder, `${task.label}.stderr`)
  const child = spawn(
    process.execPath,
    ['-C', '@agent-store/source', CLIENT, JSON.stringify({ ...task, journal })],
    { stdio: ['ignore', 'ignore', fs.openSync(complaints, 'w')] },
  )
  const lines = (word: string): string[] => {
    const text = fs.existsSync(journal) ? fs.readFileSync(journal, 'utf8') : ''
    const complete = text.split('\n').slice(0, -1)
    return complete.filter((line) => line.startsWith(`${word} `))
  }
  const count = () => lines('stored').length
  const await_ = (what: string, done: () => boolean) => {
    waitUntil(`${task.label} ${what}`, () => {
      const said = fs.readFileSync(complaints, 'utf8')
      if (said !== '') throw new Error(`${task.label}: ${said}`)
      return done()
    })
  }
  return {
    label: task.label,
    stored: () =>
      lines('stored').map((line) => {
        const [, writer = '', seq = '', hash = '', number, atMs] = line.split(' ')
        return { writer, seq: BigInt(seq), hash, number: Number(number), atMs: Number(atMs) }
      }),
    failures: () => lines('failed'),
    awaitMore(more) {
      const before = count()
      await_(`stores ${more} more`, () => count() >= before + more)
    },
    awaitFailure(pattern) {
      await_(`is told ${pattern}`, () => lines('failed').some((line) => pattern.test(line)))
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

/** How to reach the first of `servers` that takes writes. */
export function optionsFor(servers: readonly Server[], more: PgOptions = {}): PgOptions {
  const [{ user, password } = { user: '', password: '' }] = servers
  const host = servers.map(() => '127.0.0.1')
  const port = servers.map((server) => server.port)
  return { host, port, user, password, database: 'postgres', reconnect: true, ...more }
}

/**
 * What a server has of what clients were told: all of it, once, in chains that verify, and the
 * payloads of each client in order, each once.
 * @returns how many appends were acknowledged, how many of them are not stored, and how many
 * are stored twice.
 */
export function examine(
  server: Server,
  clients: readonly Client[],
): { acknowledged: number; lost: number; twice: number } {
  using db = PgBackend.connect(server.url())
  WriterLog.verifyAll(db)
  const entries = WriterLog.writers(db, STREAM).flatMap((writer) =>
    WriterLog.entries(db, STREAM, writer),
  )
  const found = new Set(
    entries.map(({ writer, seq, contentHash }) => {
      return `${writer} ${seq} ${Buffer.from(contentHash).toString('hex')}`
    }),
  )
  const payloads = entries.map(({ payload }) => Buffer.from(payload).toString())
  const told = clients.flatMap((client) => client.stored())
  const lost = told.filter(({ writer, seq, hash }) => !found.has(`${writer} ${seq} ${hash}`))
  for (const client of clients) {
    const mine = payloads.filter((payload) => payload.startsWith(`${client.label} `))
    const said = client.stored()
    assert.deepEqual(
      said.map(({ number }) => number),
      said.map((_, i) => i + 1),
    )
    // One more may be stored than it lived to be told.
    assert.ok(mine.length === said.length || mine.length === said.length + 1)
    assert.deepEqual(
      mine,
      mine.map((_, i) => `${client.label} ${i + 1}`),
    )
  }
  const twice = payloads.length - new Set(payloads).size
  return { acknowledged: told.length, lost: lost.length, twice }
}

/** What a round showed. */
export interface Round {
  readonly version: string
  readonly acknowledged: number
  readonly lost: number
  readonly twice: number
  /** Of each client, between its last acknowledgement before and the first after. */
  readonly outagesMs: readonly number[]
  /** From the request to promote until the server takes connections, by its own log. */
  readonly promotionMs: number
  /** What `pg_control_checkpoint()` said right after the promotion. */
  readonly checkpointTimeline: number
}

/** The clients: five writers, one of which has two clients, and both orders of the hosts. */
const WRITERS = ['left', 'right', 'up', 'down', 'shared', 'shared']

/** Run one failover. */
export function failOver(installation: Installation, pauseMs: number): Round {
  using primary = startServer({ installation })
  using standby = startStandby(primary, { synchronous: true })
  {
    using db = PgBackend.connect(primary.url())
    WriterLog.ensureSchema(db)
  }
  using stack = new DisposableStack()
  const clients = WRITERS.map((writer, i) => {
    const hosts = i % 2 === 0 ? [primary, standby] : [standby, primary]
    const options = optionsFor(hosts, { deadlineMs: 5_000 })
    return stack.use(startClient({ options, writer, label: `client-${i}` }, primary.folder))
  })
  for (const client of clients) client.awaitMore(10)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)

  primary.kill()
  standby.promote()
  const checkpointTimeline = timelineOfCheckpoint(standby)
  for (const client of clients) client.awaitMore(10)
  const outagesMs = clients.map((client) => longestGapMs(client.stored()))

  // Its postmaster knows nothing of what happened meanwhile.
  primary.start()
  assertTakesWrites(primary)
  standby.stop()
  for (const client of clients) {
    client.awaitFailure(/timeline 1, and 2 was seen before/)
  }
  standby.start()
  for (const client of clients) client.awaitMore(10)
  stack.dispose()
  for (const client of clients) assert.ok(client.failures().every(isExpected), client.label)

  return {
    version: installation.version,
    ...examine(standby, clients),
    outagesMs,
    promotionMs: promotionMs(standby.log()),
    checkpointTimeline,
  }
}

function isExpected(failure: string): boolean {
  return /^failed STORE_(CONNECTION|IN_DOUBT|DEADLINE) /.test(failure)
}

function longestGapMs(stored: readonly Stored[]): number {
  const gaps = stored.map(({ atMs }, i) => atMs - (stored[i - 1]?.atMs ?? atMs))
  return Math.max(...gaps)
}

/** It is the old timeline that goes on: whoever waits for no standby can write. */
function assertTakesWrites(server: Server): void {
  using db = PgBackend.connect(server.url())
  db.exec('SET synchronous_commit = local')
  db.exec('CREATE TABLE written_after_the_failover AS SELECT 1 AS n')
}

function timelineOfCheckpoint(server: Server): number {
  using db = PgBackend.connect(server.url())
  return Number(db.query('SELECT timeline_id FROM pg_control_checkpoint()')[0]?.[0])
}

/** From a log whose lines begin with the time. */
function promotionMs(log: string): number {
  const at = (text: string) => {
    const line = log.slice(0, log.indexOf(text)).split('\n').at(-1) ?? ''
    return Date.parse(`${line.slice(0, 23).replace(' ', 'T')}Z`)
  }
  const requested = 'received promote request'
  const after = log.slice(log.indexOf(requested))
  const ready =
    after.slice(0, after.indexOf('ready to accept connections')).split('\n').at(-1) ?? ''
  return Date.parse(`${ready.slice(0, 23).replace(' ', 'T')}Z`) - at(requested)
}
