/**
 * Failovers: nothing that was acknowledged is lost, and nothing is stored twice.
 *
 * `npm test` runs one on each of two servers. `npm run test:failover` runs 50 on each, which
 * takes up to half an hour, and keeps their log in `docs/failover-run.md`. `FAILOVERS` sets how
 * many, `PG_ALL` that it is as many on each server, `FAILOVER_LOG` the file to keep the log in.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { suite, type TestContext, test } from 'node:test'
import { ConnectionError, InDoubtError, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { temporaryFolder } from '../support.ts'
import { examine, failOver, optionsFor, type Round, startClient } from './failover.ts'
import { STREAM } from './failover-client.ts'
import { failoverLog, summary } from './failover-log.ts'
import { findServers } from './installation.ts'
import { waitUntil } from './process-table.ts'
import { type Server, startServer, withoutServer } from './server.ts'
import { startStandby } from './standby.ts'

const installations = findServers()
const FAILOVERS =
  Number(process.env.FAILOVERS ?? 2) * (process.env.PG_ALL === undefined ? 1 : installations.length)
const NO_STANDBY = "synchronous_standby_names = 'gone'"

function serverFor(t: TestContext, settings: readonly string[]): Server {
  const server = startServer({ fsync: false, settings })
  t.after(() => server[Symbol.dispose]())
  return server
}

/** Whether a commit on `server` waits for a standby. */
function isWaiting(server: Server): boolean {
  using db = PgBackend.connect(server.url())
  return db.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").length > 0
}

/** As soon as there is a server that takes writes. */
function appendOnceConnected(db: PgBackend, payload: string): void {
  for (;;) {
    try {
      WriterLog.append(db, STREAM, 'me', payload)
      return
    } catch (error) {
      const isLoss = (reason: unknown) => reason instanceof ConnectionError
      if (!isLoss(error) && !(error instanceof InDoubtError && isLoss(error.cause))) throw error
    }
  }
}

function payloads(db: PgBackend): string[] {
  WriterLog.verifyAll(db)
  return WriterLog.entries(db, STREAM, 'me').map(({ payload }) => Buffer.from(payload).toString())
}

suite('failover', { skip: withoutServer() }, () => {
  test(`${FAILOVERS} failovers under load: nothing is lost, nothing is stored twice`, (t) => {
    const rounds: Round[] = []
    for (let i = 0; i < FAILOVERS; i++) {
      const installation = installations[i % installations.length]
      assert.ok(installation !== undefined)
      const round = failOver(installation, (i * 37) % 200)
      rounds.push(round)
      const log = process.env.FAILOVER_LOG
      if (log !== undefined) writeFileSync(log, failoverLog(rounds))
      assert.deepEqual({ lost: round.lost, twice: round.twice }, { lost: 0, twice: 0 })
    }
    for (const line of summary(rounds)) t.diagnostic(line)
  })

  test('a promoted server that waits for another standby: in doubt at the deadline, then stored once', (t) => {
    const primary = serverFor(t, [])
    const standby = startStandby(primary, {
      synchronous: true,
      settings: [NO_STANDBY, 'statement_timeout = 100ms'],
    })
    t.after(() => standby[Symbol.dispose]())
    using db = PgBackend.connect(optionsFor([primary, standby], { deadlineMs: 1_500 }))
    WriterLog.ensureSchema(db)
    WriterLog.append(db, STREAM, 'me', 'before')
    primary.kill()
    standby.promote()
    const startedMs = performance.now()
    assert.throws(() => appendOnceConnected(db, 'after'), {
      code: 'STORE_IN_DOUBT',
      message: /no answer from the server within 1500 ms/,
    })
    assert.ok(performance.now() - startedMs > 1_000) // not the statement's timeout
    // Now it waits for the first attempt, and that wait the statement's timeout does end.
    assert.throws(() => appendOnceConnected(db, 'after'), {
      code: 'STORE_IN_DOUBT',
      message: /statement timeout/,
    })
    standby.configure("synchronous_standby_names = ''")
    standby.reload()
    assert.equal(WriterLog.append(db, STREAM, 'me', 'after').seq, 2n)
    assert.equal(WriterLog.append(db, STREAM, 'me', 'last').seq, 3n)
    assert.deepEqual(payloads(db), ['before', 'after', 'last'])
  })

  test('a wait for a standby that is cancelled leaves the append in doubt, and it is stored once', (t) => {
    const server = serverFor(t, [])
    const options: PgOptions = optionsFor([server], { deadlineMs: 1_000 })
    using admin = PgBackend.connect(server.url())
    WriterLog.ensureSchema(admin)
    using client = startClient({ options, writer: 'me', label: 'client' }, temporaryFolder(t))
    client.awaitMore(5)
    server.configure(NO_STANDBY)
    server.reload()
    waitUntil('a commit waits', () => isWaiting(server))
    const cancel =
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    waitUntil('the client is told', () => {
      admin.query(cancel)
      return client.failures().some((line) => line.includes('on no standby'))
    })
    for (const line of client.failures()) {
      assert.match(line, /^failed STORE_(IN_DOUBT|DEADLINE|CONNECTION) /)
    }
    const before = client.stored().length
    server.configure("synchronous_standby_names = ''")
    server.reload()
    client.awaitMore(5)
    client[Symbol.dispose]()
    const { acknowledged, lost, twice } = examine(server, [client])
    assert.deepEqual({ lost, twice }, { lost: 0, twice: 0 })
    assert.ok(acknowledged >= before + 5)
  })

  test('a client that has seen no later timeline can reach the old primary, whose commits wait', (t) => {
    const primary = serverFor(t, [])
    const standby = startStandby(primary, { synchronous: true })
    t.after(() => standby[Symbol.dispose]())
    {
      using db = PgBackend.connect(primary.url())
      WriterLog.ensureSchema(db)
    }
    primary.kill()
    standby.promote()
    primary.start()
    using fresh = PgBackend.connect(optionsFor([primary, standby], { deadlineMs: 500 }))
    assert.throws(() => WriterLog.append(fresh, STREAM, 'me', 'astray'), InDoubtError)
    // Who has seen the new one never comes here, and says why when there is nowhere else to go.
    using seen = PgBackend.connect(optionsFor([standby, primary]))
    WriterLog.append(seen, STREAM, 'me', 'first')
    standby.stop()
    assert.throws(() => WriterLog.append(seen, STREAM, 'me', 'second'), {
      code: 'STORE_CONNECTION',
      message: /timeline 1, and 2 was seen before/,
    })
    standby.start()
    assert.equal(WriterLog.append(seen, STREAM, 'me', 'second').seq, 2n)
    assert.deepEqual(payloads(seen), ['first', 'second'])
  })
})
