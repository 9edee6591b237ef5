/**
 * Behind PgBouncer in transaction mode, where each transaction may meet another session: clients
 * never run one another's statements, and the suite of every backend passes.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { ConnectionError, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { type Ability, conformanceCases } from 'agent-store/testing'
import { pause, timeOf } from './meanwhile.ts'
import { type PgBouncer, startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const skip = withoutServer() || withoutPgBouncer()
const ABILITIES: readonly Ability[] = ['connections']

describe('PgBouncer', { skip }, () => {
  let server: Server
  let bouncer: PgBouncer
  let admin: PgBackend
  before(() => {
    server = startServer({ fsync: false })
    bouncer = startPgBouncer(server, { poolSize: 2, settings: ['query_wait_timeout = 1'] })
    admin = PgBackend.connect(server.url())
  })
  after(() => {
    admin.close()
    bouncer[Symbol.dispose]()
    server[Symbol.dispose]()
  })

  const connect = (options: PgOptions = {}) =>
    PgBackend.connect({ url: bouncer.url(), pooler: 'transaction', ...options })
  const empty = () => {
    admin.exec('DROP SCHEMA public CASCADE')
    admin.exec('CREATE SCHEMA public')
  }
  const sessionOf = (db: PgBackend) => db.query('SELECT pg_backend_pid()')[0]?.[0]

  test('asks for a password, and is gone in the end', async () => {
    const own = startPgBouncer(server)
    const { hostname, port } = new URL(own.url())
    const socket = net.connect(Number(port), hostname)
    const body = `\0\u0003\0\0user\0${server.user}\0database\0postgres\0\0`
    socket.write(`\0\0\0${String.fromCharCode(4 + body.length)}${body}`, 'latin1')
    const [answer]: unknown[] = await once(socket, 'data')
    assert.match(String(answer), /^R.*SCRAM-SHA-256/s)
    own[Symbol.dispose]()
    const refused = net.connect(Number(port), hostname)
    await assert.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' })
  })

  for (const { name, needs, run } of conformanceCases) {
    const missing = needs.filter((ability) => !ABILITIES.includes(ability))
    const lacking = missing.length > 0 && `it declares no ${missing.join(', ')}`
    test(`a server behind it ${name}`, { skip: lacking }, () => {
      empty()
      run(connect)
    })
  }

  // Names by content never mean another's statement, even to who does not know of the pooler.
  for (const pooler of ['transaction', 'none'] as const) {
    test(`two clients in one session run their own statements, with pooler: '${pooler}'`, () => {
      using single = startPgBouncer(server, { poolSize: 1 })
      using a = connect({ url: single.url(), pooler })
      using b = connect({ url: single.url(), pooler })
      const met = new Set<unknown>()
      for (let n = 0; n < 60; n++) {
        const marks = [`a ${n % 7}`, `b ${n % 5}`]
        for (const [at, db] of [a, b].entries()) {
          const sql = `SELECT '${marks[at]}', ?::bigint`
          assert.deepEqual(db.query(sql, [BigInt(n)]), [[marks[at], BigInt(n)]])
          assert.deepEqual(db.query('SELECT ?::bigint', [1n]), [[1n]])
          assert.deepEqual(db.query('SELECT ?::text', ['1']), [['1']])
          met.add(sessionOf(db))
        }
      }
      assert.equal(met.size, 1)
    })
  }

  test('transactions of two clients take turns in sessions, and keep apart', () => {
    empty()
    using a = connect()
    using b = connect()
    WriterLog.ensureSchema(a)
    a.transaction(() => {
      const session = sessionOf(a)
      WriterLog.append(a, 's', 'w', 'one')
      assert.notEqual(sessionOf(b), session)
      assert.equal(WriterLog.head(b, 's', 'w'), null)
      a.transaction(() => WriterLog.append(a, 's', 'w', 'two'))
      assert.equal(sessionOf(a), session)
    })
    assert.equal(WriterLog.append(b, 's', 'w', 'three').seq, 3n)
    for (let n = 4n; n < 40n; n++) {
      assert.equal(WriterLog.append(n % 2n === 0n ? a : b, 's', 'w', `${n}`).seq, n)
    }
    assert.equal(WriterLog.verify(b, 's', 'w')?.seq, 39n)
  })

  test('an iteration keeps its session, while another client works', () => {
    using a = connect()
    using b = connect()
    let count = 0n
    for (const [n] of a.iterate('SELECT n::bigint FROM generate_series(1, 2000) AS n')) {
      assert.equal(n, ++count)
      if (count % 400n === 0n) assert.deepEqual(b.query('SELECT ?::bigint', [count]), [[count]])
    }
    assert.equal(count, 2000n)
  })

  test('LISTEN is refused, since it would hear nothing', () => {
    using db = connect()
    assert.throws(() => db.listen('news', { notification: () => undefined }), /pooler/)
  })

  test('a client that finds no session in time is told, and waits no longer', () => {
    using a = connect()
    using b = connect()
    using c = connect({ reconnect: true, targetSessionAttrs: 'any' })
    c.query('SELECT 1')
    const tookMs = timeOf(() =>
      a.transaction(() => {
        a.query('SELECT 1')
        b.transaction(() => {
          b.query('SELECT 1')
          assert.throws(() => c.query('SELECT 1'), ConnectionError)
        })
      }),
    )
    assert.ok(tookMs < 8000, `${tookMs} ms`)
    assert.deepEqual(c.query('SELECT 1::bigint'), [[1n]])
  })

  test('its end is found by the next call, before anything is sent', () => {
    const own = startPgBouncer(server)
    using db = connect({ url: own.url(), reconnect: true })
    using lasting = connect({ url: own.url() })
    assert.deepEqual(db.query('SELECT 1::bigint'), [[1n]])
    own[Symbol.dispose]()
    pause(100)
    assert.throws(() => db.query('SELECT 1'), { driverCode: 'ECONNREFUSED' })
    assert.throws(() => lasting.exec('CREATE TABLE never (a int)'), ConnectionError)
  })
})
