/** The ways to a server, and what is said of one that is not there or will not have us. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import os from 'node:os'
import { after, before, describe, test } from 'node:test'
import { ConnectionError, DeadlineError, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { startImpostor } from './impostor.ts'
import { errorOf, timeOf } from './meanwhile.ts'
import { type Server, startServer, withoutServer } from './server.ts'

/** A message of the protocol, as a server sends it. */
function message(type: string, body: string): string {
  return `${type}${int32(4 + body.length)}${body}`
}

function int32(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes.toString('latin1')
}

/** What a server asks of a client that wants in; 0 is nothing more. */
function asks(kind: number, more = ''): string {
  return message('R', int32(kind) + more)
}

const SCRAM = asks(10, 'SCRAM-SHA-256\0\0')

const ADDRESS = 'SELECT host(inet_client_addr()), current_user, current_database()'

describe('a server', { skip: withoutServer() }, () => {
  let server: Server
  before(() => {
    server = startServer({
      fsync: false,
      settings: ["listen_addresses = '127.0.0.1, ::1'"],
      hba: [
        'host all all ::1/128 scram-sha-256',
        'host all trusted 127.0.0.1/32 trust',
        'host all hashed 127.0.0.1/32 md5',
        'host all plain 127.0.0.1/32 password',
        'local all plain password',
      ],
    })
  })
  after(() => server[Symbol.dispose]())

  const url = (change: (url: URL) => void) => {
    const changed = new URL(server.url())
    change(changed)
    return changed
  }
  const refusal = (options: PgOptions | URL) => {
    const error = errorOf(() => PgBackend.connect(options))
    assert.ok(error instanceof ConnectionError, String(error))
    return error
  }

  const IPV6 = Object.values(os.networkInterfaces())
    .flat()
    .some((to) => to?.address === '::1')
  for (const { what, at, address, skip } of [
    { what: 'IPv4', at: () => '127.0.0.1', address: '127.0.0.1' },
    { what: 'IPv6', at: () => '::1', address: '::1', skip: !IPV6 && 'no ::1 here' },
    { what: 'a Unix socket', at: () => server.folder, address: null },
  ]) {
    test(`is reached by ${what}`, { skip }, () => {
      const { port, user, password } = server
      using db = PgBackend.connect({ host: at(), port, user, password, database: 'postgres' })
      assert.deepEqual(db.query(ADDRESS), [[address, user, 'postgres']])
      assert.ok(db.server.includes(at()), db.server)
      if (address !== '::1') return
      const hostname = '[::1]'
      PgBackend.connect(url((to) => Object.assign(to, { hostname }))).close()
    })
  }

  test('says why it will not have us, by its SQLSTATE', () => {
    for (const [options, driverCode] of [
      [url((to) => Object.assign(to, { password: 'wrong' })), '28P01'],
      [url((to) => Object.assign(to, { username: 'nobody' })), '28P01'],
      [url((to) => Object.assign(to, { pathname: '/nowhere' })), '3D000'],
    ] as const) {
      const error = refusal(options)
      assert.equal(error.driverCode, driverCode)
      assert.doesNotMatch(error.message, /wrong/)
    }
  })

  test('lets a role in by what it asks for, and is shown no password in the clear', () => {
    using admin = PgBackend.connect(server.url())
    admin.exec("SET password_encryption = 'md5'")
    for (const role of ['trusted', 'hashed', 'plain']) {
      admin.exec(`CREATE ROLE ${role} LOGIN PASSWORD 'pencil'`)
    }
    for (const username of ['trusted', 'hashed']) {
      using db = PgBackend.connect(url((to) => Object.assign(to, { username, password: 'pencil' })))
      assert.deepEqual(db.query('SELECT current_user'), [[username]])
    }
    const plain = { username: 'plain', password: 'pencil' }
    assert.match(refusal(url((to) => Object.assign(to, plain))).message, /in clear text/)
    const { folder: host, port } = server
    using db = PgBackend.connect({
      ...{ host, port, user: 'plain', password: 'pencil', database: 'postgres' },
    })
    assert.deepEqual(db.query('SELECT current_user'), [['plain']])
  })

  test('that asks for a password where there is none says where to say it', () => {
    const passfile = '/nowhere/pgpass'
    for (const password of ['', () => '']) {
      const { user, port } = server
      const error = refusal({
        ...{ url: `host=127.0.0.1 passfile=${passfile}`, user, port, password },
      })
      assert.equal(error.driverCode, '28P01')
      assert.match(
        error.message,
        /asks "\w+" for a password, and there is none: give it in the URL/,
      )
    }
  })

  test('that is not there is an error at once', () => {
    const anywhere = url((to) => Object.assign(to, { hostname: 'localhost', port: '1' }))
    assert.match(refusal({ url: anywhere, tls: 'disable' }).message, /ECONNREFUSED/)
    const nowhere = url((to) => Object.assign(to, { port: '1' }))
    const socket = { host: '/nowhere', user: 'u', database: 'd' }
    for (const [options, driverCode] of [
      [nowhere, 'ECONNREFUSED'],
      [socket, 'ENOENT'],
      [{ host: 'nowhere.invalid', user: 'u', tls: 'disable' }, /^(ENOTFOUND|EAI_AGAIN)$/],
    ] as const) {
      const tookMs = timeOf(() => {
        const { driverCode: found = '' } = refusal(options)
        if (typeof driverCode === 'string') assert.equal(found, driverCode)
        else assert.match(found, driverCode)
      })
      assert.ok(tookMs < 9000, `${tookMs} ms`)
    }
  })

  for (const { what, answer, andEnds = false, says } of [
    { what: 'is none', answer: 'HTTP/1.1 400 Bad Request\r\n\r\n', says: /"H" claims/ },
    { what: 'hangs up', answer: '', andEnds: true, says: /closed/ },
    { what: 'gives no reason', answer: message('E', '\0'), says: /the server gave no reason/ },
    {
      what: 'asks for Kerberos',
      answer: asks(7),
      says: /authentication of kind 7; there are SCRAM/,
    },
    { what: 'has another SCRAM', answer: asks(10, 'SCRAM-9\0\0'), says: /SCRAM-9/ },
    { what: 'asks anew amid SCRAM', answer: SCRAM, says: /sent R 10 in the midst of SCRAM/ },
    {
      what: 'leaves SCRAM',
      answer: SCRAM + message('Z', 'I'),
      says: /sent Z undefined in the midst of SCRAM/,
    },
    {
      what: 'sends rows unasked',
      answer: asks(0) + message('D', '\0\0'),
      says: /sent "D" where it has no place/,
    },
    {
      what: 'is in no known state',
      answer: asks(0) + message('Z', 'X'),
      says: /sent "Z X" where it has no place/,
    },
  ]) {
    test(`that ${what} is a typed error`, async (t) => {
      const port = String(await startImpostor(t, { answer, andEnds }))
      assert.match(refusal(url((to) => Object.assign(to, { port }))).message, says)
    })
  }

  test('that says nothing is a typed error at the deadline', async (t) => {
    const port = String(await startImpostor(t, { answer: '' }))
    const silent = { url: url((to) => Object.assign(to, { port })), connectTimeoutMs: 300 }
    assert.throws(() => PgBackend.connect(silent), DeadlineError)
  })

  test('of another encoding than UTF-8, or with other strings, is refused', () => {
    using db = PgBackend.connect(server.url())
    db.exec("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    assert.match(refusal(url((to) => Object.assign(to, { pathname: '/latin' }))).message, /UTF8/)
    db.exec("CREATE ROLE old LOGIN PASSWORD 'old'")
    db.exec('ALTER ROLE old SET standard_conforming_strings = off')
    const { message } = refusal(
      url((to) => Object.assign(to, { username: 'old', password: 'old' })),
    )
    assert.match(message, /standard_conforming_strings must be on/)
  })

  test('with no place for one more says so', () => {
    const crowd: PgBackend[] = []
    using db = PgBackend.connect(server.url())
    db.exec("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2")
    const few = url((to) => Object.assign(to, { username: 'few', password: 'few' }))
    try {
      for (let n = 0; n < 2; n++) crowd.push(PgBackend.connect(few))
      assert.equal(refusal(few).driverCode, '53300')
    } finally {
      for (const each of crowd) each.close()
    }
  })

  test('lets a role that may only use the tables use them', () => {
    using owner = PgBackend.connect(server.url())
    WriterLog.ensureSchema(owner)
    owner.exec("CREATE ROLE lowly LOGIN PASSWORD 'lowly'")
    owner.exec('GRANT SELECT, INSERT ON _agent_store_log TO lowly')
    using db = PgBackend.connect(
      url((to) => Object.assign(to, { username: 'lowly', password: 'lowly' })),
    )
    assert.throws(() => db.exec('CREATE TABLE mine (a int)'), { driverCode: '42501' })
    WriterLog.ensureSchema(db)
    assert.equal(WriterLog.append(db, 's', 'w', 'one').seq, 1n)
    assert.equal(WriterLog.append(db, 's', 'w', 'two').seq, 2n)
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 2n)
    for (const sql of [
      "UPDATE _agent_store_log SET writer = 'x'",
      'DELETE FROM _agent_store_log',
    ]) {
      assert.throws(() => db.exec(sql), { driverCode: '42501' })
    }
  })
})
