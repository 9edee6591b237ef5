/**
 * A connection under TLS: to the right server alone, bound to its certificate, and never in the
 * clear instead.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { after, before, describe, type TestContext, test } from 'node:test'
import { ConnectionError, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { MAIN } from '../cli/command-line.ts'
import { defined, temporaryFolder } from '../support.ts'
import { type Certificates, makeCertificates, withoutOpenssl } from './certificates.ts'
import { startImpostor } from './impostor.ts'
import { errorOf } from './meanwhile.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const read = (file: string) => fs.readFileSync(file, 'utf8')

/** Where it is said that TLS is in use: in the server. */
function protocolOf(options: PgOptions): unknown {
  using db = PgBackend.connect(options)
  const [row] = db.query('SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
  return row?.[0]
}

/** Why there is no connection. */
function refusal(options: PgOptions): ConnectionError {
  const error = errorOf(() => PgBackend.connect(options))
  assert.ok(error instanceof ConnectionError, String(error))
  return error
}

describe('TLS', { skip: withoutServer() || withoutOpenssl() }, () => {
  let server: Server
  let certificates: Certificates
  let options: PgOptions
  before(() => {
    server = startServer({
      fsync: false,
      tls: true,
      settings: ['log_connections = on'],
      hba: [
        'hostssl all certified 127.0.0.1/32 cert',
        'hostssl all twofold 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
        'hostnossl all tls_only 127.0.0.1/32 reject',
      ],
    })
    certificates = defined(server.certificates)
    options = { url: server.url(), tls: 'verify-full', ca: read(certificates.authority) }
    using db = PgBackend.connect(server.url())
    db.exec('CREATE ROLE certified LOGIN')
    db.exec("CREATE ROLE twofold LOGIN PASSWORD 'secret'")
    db.exec("CREATE ROLE tls_only LOGIN PASSWORD 'secret'")
  })
  after(() => server[Symbol.dispose]())

  /** Certificates of an authority that nobody knows. */
  const strange = (t: TestContext) => makeCertificates(temporaryFolder(t), {})
  const clientOf = (from: Certificates, name: string) => {
    const { certificate, key } = from.client(name)
    return { cert: read(certificate), key: read(key) }
  }

  test('is used where it is asked for, by address and by name', () => {
    assert.match(String(protocolOf(options)), /^TLSv1\.[23]$/)
    const { port, user, password } = server
    const named = `host=localhost hostaddr=127.0.0.1 port=${port} user=${user} dbname=postgres`
    const file = `${named} sslmode=verify-full sslrootcert=${certificates.authority}`
    assert.match(String(protocolOf({ url: file, password })), /^TLSv1\.[23]$/)
    assert.equal(protocolOf({ url: server.url() }), null)
  })

  test('is shown by the command line', () => {
    using db = PgBackend.connect(options)
    WriterLog.ensureSchema(db)
    const url = new URL(server.url())
    url.searchParams.set('sslmode', 'verify-full')
    url.searchParams.set('sslrootcert', certificates.authority)
    const info = spawnSync(process.execPath, [MAIN, 'info', url.href], { encoding: 'utf8' })
    assert.match(info.stdout, /^TLS +on$/m, info.stderr)
  })

  test('20 MiB go through it and come back', () => {
    using db = PgBackend.connect(options)
    const bytes = new Uint8Array(20 * 2 ** 20).fill(0xa5)
    const back = db.query('SELECT ?::bytea', [bytes])[0]?.[0]
    assert.ok(back instanceof Uint8Array && Buffer.compare(back, bytes) === 0)
  })

  test('a role that may not come in the clear comes by it', () => {
    const role = { ...options, user: 'tls_only', password: 'secret' }
    assert.match(String(protocolOf(role)), /^TLS/)
    assert.equal(refusal({ ...role, tls: 'disable' }).driverCode, '28000')
  })

  test('a certificate for another name is refused', () => {
    const url = `host=db.example hostaddr=127.0.0.1 port=${server.port} user=${server.user}`
    const error = refusal({ ...options, url, password: server.password })
    assert.equal(error.driverCode, 'ERR_TLS_CERT_ALTNAME_INVALID')
    assert.match(error.message, /db\.example/)
  })

  test('a certificate of an authority that is not trusted is refused', (t) => {
    for (const ca of [read(strange(t).authority), 'system']) {
      assert.match(String(refusal({ ...options, ca }).driverCode), /VERIFY|SELF_SIGNED|ISSUER/)
    }
  })

  test('a server without TLS is refused, and hears nothing in the clear', () => {
    using plain = startServer({ fsync: false, settings: ['log_connections = on'] })
    const { ca } = options
    const error = refusal({ url: plain.url(), tls: 'verify-full', ca })
    assert.equal(error.driverCode, 'ETLS')
    assert.match(error.message, /does not speak TLS/)
    assert.doesNotMatch(plain.log(), /authorized|authenticated/)
    PgBackend.connect(plain.url()).close()
    assert.match(plain.log(), /authorized/)
  })

  for (const { what, answer, andEnds = false } of [
    { what: 'bytes after its S', answer: 'S\x16\x03\x03' },
    { what: 'an error after its S', answer: 'SE\0\0\0\x05\0' },
    { what: 'bytes after its N', answer: 'NR\0\0\0\x08\0\0\0\0' },
    { what: 'an error in the clear', answer: 'E\0\0\0\x0cMtrust me\0\0' },
    { what: 'another letter', answer: 'X' },
    { what: 'S, and then no TLS', answer: 'S', andEnds: true },
  ]) {
    test(`a server that gives ${what} is refused`, async (t) => {
      const port = await startImpostor(t, { answer, andEnds })
      const url = new URL(server.url())
      url.port = String(port)
      const error = refusal({ ...options, url })
      assert.match(String(error.driverCode), andEnds ? /ECONNRESET|ERR_SSL/ : /^ETLS$/)
      assert.doesNotMatch(error.message, /trust me/)
    })
  }

  test('who stands in the middle with a trusted certificate cannot pass SCRAM on', async (t) => {
    const target = server.port
    const url = new URL(server.url())
    url.port = String(await startImpostor(t, { target, ...certificates.other('middle') }))
    for (const channelBinding of ['prefer', 'require'] as const) {
      assert.equal(refusal({ ...options, url, channelBinding }).driverCode, '28000')
    }
    // Which is what the binding is for: without it, nobody would notice.
    assert.match(String(protocolOf({ ...options, url, channelBinding: 'disable' })), /^TLS/)
  })

  test('channel binding can be required, and then nothing less will do', () => {
    const channelBinding = 'require'
    assert.match(String(protocolOf({ ...options, channelBinding })), /^TLS/)
    const certified = { ...options, user: 'certified', ...clientOf(certificates, 'certified') }
    assert.match(refusal({ ...certified, channelBinding }).message, /channel binding is required/)
  })

  test('a client is known by its certificate', () => {
    const certified = { ...options, user: 'certified' }
    const own = clientOf(certificates, 'certified')
    assert.match(String(protocolOf({ ...certified, ...own })), /^TLS/)
    assert.equal(refusal(certified).driverCode, '28000')
    const others = clientOf(certificates, 'twofold')
    assert.equal(refusal({ ...certified, ...others }).driverCode, '28000')
  })

  test('a client can need a certificate and a password', (t) => {
    const own = clientOf(certificates, 'twofold')
    const twofold = { ...options, user: 'twofold', password: 'secret' }
    assert.match(String(protocolOf({ ...twofold, ...own })), /^TLS/)
    assert.equal(refusal(twofold).driverCode, '28000')
    assert.equal(refusal({ ...twofold, ...own, password: 'wrong' }).driverCode, '28P01')
    // The server ends the handshake, and says so when the client believes it is done.
    refusal({ ...twofold, ...clientOf(strange(t), 'twofold') })
  })
})
