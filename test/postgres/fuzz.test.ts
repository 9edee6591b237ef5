/**
 * The decoder against bytes that no server sends: what a real one said, recorded and then
 * damaged. Whatever comes, a call ends, with an answer or a typed error, in bounded memory.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConnectionError, InDoubtError, StoreError } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import type { Channels } from '../../src/postgres/channels.ts'
import { PgConnection } from '../../src/postgres/connection.ts'
import type { SessionSettings } from '../../src/postgres/handshake.ts'
import { SocketPump } from '../../src/postgres/pump/pump.ts'
import type { Transport } from '../../src/postgres/pump/transport.ts'
import { numbers } from '../support.ts'
import { startServer, withoutServer } from './server.ts'

const skip = withoutServer()
const FUZZ_MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 20_000)
const FUZZ_SEED = Number(process.env.FUZZ_SEED ?? 1)

const [READY, ROW] = Buffer.from('ZD')

const SETTINGS: Omit<SessionSettings, 'unnamed'> = {
  credentials: {
    user: 'agent',
    password: () => 'secret',
    isPrivate: true,
    channelBinding: 'disable',
  },
  database: 'postgres',
  parameters: {},
  connectTimeoutMs: 5000,
  deadlineMs: 5000,
}

/** A backend over `transport`, which stands in for a socket. */
function over(transport: Transport, unnamed: boolean): PgBackend {
  return new PgBackend({
    reconnect: false,
    notify: false,
    open: (_, channels: Channels) => ({
      connection: PgConnection.open(transport, { ...SETTINGS, unnamed }, channels),
      name: 'a transport of the test',
      isPooled: false,
      identity: undefined,
    }),
  })
}

/** A transport that keeps what it received. */
class Recorder implements Transport {
  readonly #pump: SocketPump
  readonly heard: Uint8Array[] = []
  readonly certificate = undefined

  constructor(port: number) {
    this.#pump = SocketPump.connect({ host: '127.0.0.1', port }, 5000)
  }

  send(bytes: Uint8Array): void {
    this.#pump.send(bytes)
  }

  receive(deadlineMs: number): Uint8Array {
    const bytes = this.#pump.receive(deadlineMs)
    this.heard.push(bytes)
    return bytes
  }

  poll(): Uint8Array | undefined {
    const bytes = this.#pump.poll()
    if (bytes !== undefined) this.heard.push(bytes)
    return bytes
  }

  onArrival(): void {
    // Calls alone are recorded.
  }

  keepAlive(): void {
    // Nor does it live longer.
  }

  close(): void {
    this.#pump.close()
  }

  destroy(): void {
    this.#pump.destroy()
  }
}

/** A transport that gives one reply after the other, in pieces, and then ends. */
class Replay implements Transport {
  readonly certificate = undefined
  #replies: readonly Uint8Array[]
  readonly #next: (bound: number) => number
  /** Pieces that were asked for after the end. */
  futile = 0
  /** Bytes that were asked for. */
  taken = 0

  constructor(replies: readonly Uint8Array[], next: (bound: number) => number) {
    this.#replies = replies
    this.#next = next
  }

  send(): void {
    // The replies are there already.
  }

  receive(): Uint8Array {
    const [reply, ...others] = this.#replies
    if (reply === undefined) {
      this.futile++
      throw new ConnectionError('the recording is over')
    }
    // Never of two replies at once: no server answers what it was not asked yet.
    const length = this.#next(8) === 0 ? 1 + this.#next(7) : 1 + this.#next(4000)
    this.#replies = length < reply.length ? [reply.subarray(length), ...others] : others
    const piece = reply.slice(0, length)
    this.taken += piece.length
    return piece
  }

  poll(): Uint8Array | undefined {
    return this.#replies.length > 0 && this.#next(200) === 0 ? this.receive() : undefined
  }

  onArrival(): void {
    // There is no event loop in between.
  }

  keepAlive(): void {
    // As little.
  }

  close(): void {
    this.#replies = []
  }

  destroy(): void {
    this.close()
  }
}

/** Some of everything that a server says. */
const STEPS: readonly ((db: PgBackend) => unknown)[] = [
  (db) => db.exec('CREATE TEMP TABLE t (a bigint PRIMARY KEY, b bytea, c text, d float8, e bool)'),
  (db) => db.exec("INSERT INTO t VALUES (1, '\\x00ff', 'äöü', 1.5, true)"),
  (db) => db.execMany('INSERT INTO t (a) VALUES (?)', [[2n], [3n], [4n]]),
  (db) => db.query('SELECT * FROM t ORDER BY a'),
  (db) => db.query('SELECT 1::int2, 2::int4, 3::oid, 4::float4, 5::numeric, ARRAY[1,2], NULL'),
  (db) => db.exec('INSERT INTO t (a) VALUES (1)'),
  (db) => db.query('SELECT 1 / 0'),
  (db) => db.query('SELECT broken'),
  (db) => db.query('UPDATE t SET c = ? WHERE a > 2 RETURNING a, c', ['x'.repeat(300)]),
  (db) => db.exec("DO 'BEGIN RAISE NOTICE $a$said$a$; END'"),
  (db) => db.exec('LISTEN news'),
  (db) => db.query("SELECT pg_notify('news', 'heard')"),
  (db) => db.exec("SET TIME ZONE 'UTC'"),
  (db) =>
    db.transaction(() => {
      db.query('SELECT count(*) FROM t')
      for (const _ of db.iterate('SELECT generate_series(1, 700)'));
    }),
  (db) =>
    db.transaction(() => {
      db.query('SELECT fails')
    }),
  (db) => db.snapshot(() => db.query('SELECT a FROM t')),
  (db) => {
    for (const [n] of db.iterate('SELECT generate_series(1, 600)')) if (n === 550n) break
  },
  (db) => db.exec('DISCARD ALL'),
  (db) => db.query('SELECT * FROM t'),
  (db) => db.query("COPY (SELECT 1) TO '/dev/null'"),
]

/** Not as a Buffer, whose slice() would be the same bytes. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** Put messages together again, up to each `ReadyForQuery`. */
function repliesOf(messages: readonly Uint8Array[]): Uint8Array[] {
  const replies: Uint8Array[] = []
  let reply: Uint8Array[] = []
  for (const message of messages) {
    reply.push(message)
    if (message[0] !== READY && message !== messages.at(-1)) continue
    replies.push(joined(reply))
    reply = []
  }
  return replies.filter(({ length }) => length > 0)
}

/** Cut a recording into its messages. */
function messagesOf(bytes: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + view.getInt32(at + 1)
    messages.push(bytes.slice(at, end))
    at = end
  }
  return messages
}

function isNoRow([type]: Uint8Array): boolean {
  return type !== ROW
}

function record(unnamed: boolean): Uint8Array[] {
  using server = startServer({ fsync: false, hba: ['host all all 127.0.0.1/32 trust'] })
  const recorder = new Recorder(server.port)
  const db = over(recorder, unnamed)
  for (const step of STEPS) attempt(db, step)
  db.close()
  const messages = messagesOf(joined(recorder.heard))
  // Of rows that are alike, some will do.
  return messages.filter((_, n) => messages.slice(Math.max(0, n - 4), n + 1).some(isNoRow))
}

/** @returns what it threw. */
function attempt(db: PgBackend | undefined, step: (db: PgBackend) => unknown): unknown {
  try {
    if (db !== undefined) step(db)
    return undefined
  } catch (error) {
    return error
  }
}

const CLAIMS = [-(2 ** 31), -1, 0, 3, 4, 5, 100, 2 ** 24, 2 ** 24 + 1, 2 ** 30, 2 ** 31 - 1]

/** A message with something wrong in it, or several, or none. */
function damaged(
  message: Uint8Array,
  all: readonly Uint8Array[],
  next: (bound: number) => number,
): Uint8Array[] {
  const copy = message.slice()
  const some = () => all[next(all.length)] ?? message
  const at = next(copy.length)
  switch (next(10)) {
    case 0:
      copy[at] = (copy[at] ?? 0) ^ (1 << next(8))
      return [copy]
    case 1:
      copy[at] = [0, 255, 127, 128, 73][next(5)] ?? 0
      return [copy]
    case 2:
      new DataView(copy.buffer).setInt32(1, CLAIMS[next(CLAIMS.length)] ?? 0)
      return [copy]
    case 3:
      copy[0] = next(256)
      return [copy]
    case 4:
      return []
    case 5:
      return [copy, some()]
    case 6:
      return [some()]
    case 7:
      return [copy.slice(0, at)]
    case 8: // some other 32 bits inside of it
      if (copy.length >= 9) {
        const place = 5 + next(copy.length - 8)
        new DataView(copy.buffer).setInt32(place, CLAIMS[next(CLAIMS.length)] ?? 0)
      }
      return [copy]
    default: // the same head, another body
      for (let n = 5; n < copy.length; n++) copy[n] = next(256)
      return [copy]
  }
}

for (const unnamed of [false, true]) {
  const statements = unnamed ? 'parsed at each use' : 'prepared'
  test(`${FUZZ_MESSAGES} messages for statements ${statements}, some of them damaged, end in answers or typed errors`, {
    skip,
  }, () => {
    const messages = record(unnamed)
    assert.ok(messages.length > 100, `${messages.length} messages`)
    const before = memory()
    let [fed, answers, refusals, losses, most] = [0, 0, 0, 0, 0]
    for (let round = 0; fed < FUZZ_MESSAGES; round++) {
      const next = numbers(FUZZ_SEED + round * 7919)
      // Most rounds get past the start, and some have no damage at all.
      const [from, rate] = [next(messages.length), [3, 12, 40, 200][next(4)] ?? 3]
      const parts = messages.flatMap((message, n) =>
        n >= from && next(rate) === 0 ? damaged(message, messages, next) : [message],
      )
      const replies = repliesOf(parts)
      const replay = new Replay(replies, next)
      const name = `seed ${FUZZ_SEED}, round ${round}`
      let db: PgBackend | undefined
      try {
        db = over(replay, unnamed)
      } catch (error) {
        assert.ok(error instanceof StoreError, `${name}: ${said(error)}`)
        losses++
      }
      for (const [n, step] of db === undefined ? [] : STEPS.entries()) {
        const error = attempt(db, step)
        // A damaged description can make rows of none.
        const isTyped =
          error === undefined ||
          error instanceof StoreError ||
          (error instanceof TypeError && /^sql returns rows/.test(error.message))
        assert.ok(isTyped, `${name}, step ${n}: ${said(error)}`)
        if (error === undefined) answers++
        else refusals++
        if (!isLoss(error)) continue
        losses++
        assert.ok(attempt(db, () => db?.query('SELECT 1')) instanceof ConnectionError, name)
        break
      }
      assert.ok(replay.futile <= 1, name)
      const all = replies.reduce((sum, { length }) => sum + length, 0)
      fed += Math.ceil((parts.length * replay.taken) / all) // those that were read
      db?.close()
      most = Math.max(most, memory())
    }
    assert.ok(
      answers > 0 && refusals > 0 && losses > 0,
      JSON.stringify({ answers, refusals, losses }),
    )
    assert.ok(most - before < 256 * 2 ** 20, `${(most - before) / 2 ** 20} MiB`)
  })
}

test('a message that claims a gigabyte costs only what has come of it', () => {
  for (const type of ['D', 'd']) {
    const claim = Buffer.alloc(5 + 100_000)
    claim.write(`R    \0\0\0\0Z    I${type}`)
    claim.writeInt32BE(8, 1)
    claim.writeInt32BE(5, 10)
    claim.writeInt32BE(2 ** 30, 16)
    const before = memory()
    const replay = new Replay([claim.subarray(0, 15), claim.subarray(15)], numbers(1))
    const db = over(replay, false)
    assert.throws(() => db.query('SELECT 1'), ConnectionError)
    assert.ok(memory() - before < 32 * 2 ** 20)
  }
})

/** Whether the connection has ended. A doubt can have other causes as well. */
function isLoss(error: unknown): boolean {
  const reason = error instanceof InDoubtError ? error.cause : error
  return reason instanceof ConnectionError
}

/** Bytes that buffers and objects hold. */
function memory(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

function said(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
