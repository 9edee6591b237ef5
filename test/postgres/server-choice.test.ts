/** Which server of several is taken, and which is refused, on real ones. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { suite, type TestContext, test } from 'node:test'
import { WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { MAIN } from '../cli/command-line.ts'
import { optionsFor } from './failover.ts'
import { freshPort } from './guard.ts'
import { waitUntil } from './process-table.ts'
import { type Server, type ServerOptions, startServer, withoutServer } from './server.ts'
import { startStandby } from './standby.ts'

function serverFor(t: TestContext, options: ServerOptions = {}): Server {
  const server = startServer({ fsync: false, ...options })
  t.after(() => server[Symbol.dispose]())
  return server
}

function standbyFor(t: TestContext, primary: Server): Server {
  const standby = startStandby(primary)
  t.after(() => standby[Symbol.dispose]())
  return standby
}

/** A URL with a port of each server, all of them on this machine. */
function urlOf(ports: readonly number[], { user, password }: Server, query = ''): string {
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join()
  return `postgres://${user}:${password}@${hosts}/postgres${query}`
}

suite('of several hosts', { skip: withoutServer() }, () => {
  test('the first that takes writes is taken, and any only where that is asked for', (t) => {
    const primary = serverFor(t)
    const standby = standbyFor(t, primary)
    const nobody = freshPort()
    const ports = [nobody, standby.port, primary.port]
    for (const query of ['', '?target_session_attrs=read-write']) {
      using db = PgBackend.connect(urlOf(ports, primary, query))
      assert.match(db.server, new RegExp(`:${primary.port}/`))
      WriterLog.ensureSchema(db)
      WriterLog.append(db, 's', 'w', query)
    }
    using any = PgBackend.connect(urlOf(ports, primary, '?target_session_attrs=any'))
    assert.match(any.server, new RegExp(`:${standby.port}/`))
    assert.throws(() => any.exec('CREATE TABLE t (n INT)'), { driverCode: '25006' })
    assert.throws(() => any.listen('news', { notification: () => {} }), { driverCode: '25006' })
    waitUntil('the standby has the log', () => WriterLog.head(any, 's', 'w')?.seq === 2n)
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [MAIN, 'info', urlOf([standby.port], primary, '?target_session_attrs=any'), '--json'],
      { encoding: 'utf8' },
    )
    assert.equal(status, 0, stderr)
    assert.equal(JSON.parse(stdout).role, 'standby')

    primary.stop()
    assert.throws(() => PgBackend.connect(urlOf(ports, primary)), {
      code: 'STORE_CONNECTION',
      message: new RegExp(
        `:${nobody}/.*ECONNREFUSED.*:${standby.port}/.*it is a standby, which takes no writes` +
          `.*:${primary.port}/.*ECONNREFUSED`,
      ),
    })
  })

  test('one whose sessions are read-only by default takes no writes', (t) => {
    const closed = serverFor(t, { settings: ['default_transaction_read_only = on'] })
    const open = serverFor(t)
    using db = PgBackend.connect(urlOf([closed.port, open.port], open))
    assert.match(db.server, new RegExp(`:${open.port}/`))
    assert.throws(() => PgBackend.connect(closed.url()), {
      code: 'STORE_CONNECTION',
      message: /its sessions are read-only by default/,
    })
  })

  test('one of another cluster is refused, once the right one is known', (t) => {
    const mine = serverFor(t)
    const other = serverFor(t, { ownIdentity: true })
    using db = PgBackend.connect(optionsFor([mine, other]))
    WriterLog.ensureSchema(db)
    WriterLog.append(db, 's', 'w', 'one')
    mine.stop()
    assert.throws(() => WriterLog.append(db, 's', 'w', 'two'), {
      code: 'STORE_CONNECTION',
      message: /it is another cluster/,
    })
    mine.start()
    assert.equal(WriterLog.append(db, 's', 'w', 'two').seq, 2n)
  })
})
