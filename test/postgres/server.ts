/**
 * Throwaway PostgreSQL servers, started and stopped without giving way to the event loop.
 *
 * A server lives in a folder of its own, answers on a loopback port and on a socket in that
 * folder, and wants a password (SCRAM-SHA-256). It does not outlive the process that started
 * it, however that ends: a shell waits on a pipe for us, then kills the server and removes
 * the folder.
 *
 * @module
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash, randomInt } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { type Certificates, makeCertificates } from './certificates.ts'
import { findServer, giveTo, type Installation, isOurs, publish } from './installation.ts'
import { childrenOf, isAlive, signal, waitUntil } from './process-table.ts'

const USER = 'agent'
const PASSWORD = 'vT4-qm9_Zc7Lr2'

export interface ServerOptions {
  /** Lines of `postgresql.conf`; a later line wins. */
  readonly settings?: readonly string[]
  /** Lines of `pg_hba.conf` that go before the usual ones. */
  readonly hba?: readonly string[]
  /** Flush what is committed to disk. Default: true. */
  readonly fsync?: boolean
  /** Accept TLS, with a certificate for `localhost` and 127.0.0.1. Default: false. */
  readonly tls?: boolean
  /** Its own system identifier. Otherwise all servers of a version have one. Default: false. */
  readonly ownIdentity?: boolean
  readonly installation?: Installation
}

export interface Server extends Disposable {
  readonly installation: Installation
  /** All that it has, and its socket. */
  readonly folder: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Present with `tls`. */
  readonly certificates: Certificates | undefined
  /** Of a database, `postgres` by default, over TCP. */
  url(database?: string): string
  /** All that the server has logged. */
  log(): string
  /** Add lines to `postgresql.conf`, which the next start or `reload` reads. */
  configure(...lines: string[]): void
  /** Make it read its settings again, soon. */
  reload(): void
  /** Start it, after `stop` or `kill`, where it was. */
  start(): void
  /** End it: `fast` tells its clients, `immediate` is a crash that it recovers from. */
  stop(mode?: 'fast' | 'immediate'): void
  /** SIGKILL to all its processes. */
  kill(): void
  restart(): void
  /** Stop all its processes where they are; the connections stay open. */
  freeze(): void
  thaw(): void
  /** Turn a standby into a primary. */
  promote(): void
  /** Kill it and remove its folder. */
  [Symbol.dispose](): void
}

/** Why tests that start and stop servers cannot run here, or `false`. */
export function withoutServer(): string | false {
  const found = findServer()
  return 'missing' in found && found.missing
}

/** Why tests that need any database at all cannot run here, or `false`. */
export function withoutDatabase(): string | false {
  return process.env.AGENT_STORE_TEST_PG_URL === undefined && withoutServer()
}

let shared: Server | undefined

/**
 * A database to work in: the one that `AGENT_STORE_TEST_PG_URL` names, which others may use
 * at the same time, or else one on a server that this process starts at the first call.
 */
export function databaseUrl(): string {
  const given = process.env.AGENT_STORE_TEST_PG_URL
  if (given !== undefined) return given
  shared ??= startServer()
  return shared.url()
}

/** A server of its own, ready for connections. */
export function startServer(options: ServerOptions = {}): Server {
  const server = prepare(options, (data, installation, folder) =>
    copyTemplate(data, installation, folder, options.ownIdentity ?? false),
  )
  server.start()
  return server
}

/** A server whose data folder is made by `fill`, and not started yet. */
export function prepare(
  options: ServerOptions,
  fill: (data: string, installation: Installation, folder: string) => void,
): Server {
  const installation = options.installation ?? findServer()
  if ('missing' in installation) throw new Error(installation.missing)
  const { account, bin } = installation
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-pg-'))
  const watchdog = guard(folder)
  giveTo(account, folder)
  const data = join(folder, 'data')
  fill(data, installation, folder)
  const certificates = options.tls ? makeCertificates(folder, account) : undefined
  const conf = join(data, 'postgresql.conf')
  const logFile = join(folder, 'log')
  let port = freshPort()

  const log = () => (fs.existsSync(logFile) ? fs.readFileSync(logFile, 'utf8') : '')
  const control = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      join(bin, 'pg_ctl'),
      ['--pgdata', data, '--silent', '--wait', ...args],
      { ...account, cwd: folder, encoding: 'utf8' },
    )
    if (status !== 0) throw new Error(`pg_ctl ${args[0]}: ${stderr}${stdout}${log().slice(-2000)}`)
  }
  const signalAll = (name: NodeJS.Signals) => {
    const pid = postmasterOf(data)
    if (pid === undefined) return []
    signal(pid, 'SIGSTOP') // so that it starts no more
    const all = [...childrenOf(pid), pid]
    for (const each of all) signal(each, name)
    return all
  }
  let started = false

  const server: Server = {
    installation,
    folder,
    get port() {
      return port
    },
    user: USER,
    password: PASSWORD,
    certificates,
    url: (database = 'postgres') => `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${database}`,
    log,
    configure: (...lines) => fs.appendFileSync(conf, `${lines.join('\n')}\n`),
    reload: () => control('reload'),
    start() {
      for (let tries = 1; ; tries++) {
        try {
          control('start', '--log', logFile, '--options', `-p ${port}`)
          started = true
          return
        } catch (error) {
          // Taken by another process. Once it has run, its port is its address.
          if (started || tries === 5 || !log().includes('Address already in use')) throw error
          port = freshPort()
          fs.rmSync(logFile)
        }
      }
    },
    stop: (mode = 'fast') => control('stop', '--mode', mode),
    kill() {
      const all = signalAll('SIGKILL')
      waitUntil('the killed server is gone', () => !isAlive(...all))
      // The numbers in its lock files may soon be another's, or stay if nobody waits for them.
      fs.rmSync(join(data, 'postmaster.pid'), { force: true })
      fs.rmSync(join(folder, `.s.PGSQL.${port}.lock`), { force: true })
    },
    restart() {
      if (postmasterOf(data) !== undefined) server.stop()
      server.start()
    },
    freeze: () => void signalAll('SIGSTOP'),
    thaw: () => void signalAll('SIGCONT'),
    promote: () => control('promote'),
    [Symbol.dispose]() {
      server.kill()
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
      watchdog.stdin?.end()
    },
  }
  writeSettings(conf, folder, options, certificates)
  return server
}

function writeSettings(
  conf: string,
  folder: string,
  { fsync = true, settings = [], hba = [] }: ServerOptions,
  tls: Certificates | undefined,
): void {
  const lines = [
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${folder}'`,
    'shared_buffers = 16MB',
    'max_connections = 100',
    'password_encryption = scram-sha-256',
    `fsync = ${fsync ? 'on' : 'off'}`,
    "log_line_prefix = '%m [%p] %a '",
    ...(tls === undefined
      ? []
      : [
          'ssl = on',
          `ssl_ca_file = '${tls.authority}'`,
          `ssl_cert_file = '${tls.certificate}'`,
          `ssl_key_file = '${tls.key}'`,
        ]),
    ...settings,
  ]
  fs.writeFileSync(conf, `${lines.join('\n')}\n`)
  const usual = ['local all', 'local replication', 'host all', 'host replication'].map(
    (what) => `${what} all ${what.startsWith('host') ? '127.0.0.1/32 ' : ''}scram-sha-256`,
  )
  fs.writeFileSync(join(conf, '../pg_hba.conf'), `${[...hba, ...usual].join('\n')}\n`)
}

/** A new data folder: a copy of one that is made once for each version. */
function copyTemplate(
  data: string,
  installation: Installation,
  folder: string,
  own: boolean,
): void {
  const { account, bin } = installation
  const args = ['--encoding=UTF8', '--locale=C', '--auth=scram-sha-256', '--wal-segsize=1']
  const identity = createHash('sha256')
    .update(JSON.stringify([bin, installation.version, account.uid, USER, PASSWORD, args]))
    .digest('hex')
    .slice(0, 16)
  const template = join(os.tmpdir(), `agent-store-pg-template-${identity}`)
  if (own || !isOurs(template, account)) {
    const secret = join(folder, 'password')
    fs.writeFileSync(secret, PASSWORD)
    const made = own ? data : join(folder, 'template')
    run(installation, join(bin, 'initdb'), ...args, '-N', '-U', USER, `--pwfile=${secret}`, made)
    if (own) return
    publish(made, template)
  }
  run(installation, 'cp', '-a', template, data)
}

/** Run a command as the one who runs the server. */
function run({ account }: Installation, command: string, ...args: string[]): void {
  const { status, error, stderr } = spawnSync(command, args, {
    ...account,
    cwd: os.tmpdir(),
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`)
}

/** The first process of the server in a data folder, while it runs. */
function postmasterOf(data: string): number | undefined {
  const file = join(data, 'postmaster.pid')
  const pid = fs.existsSync(file) ? Number.parseInt(fs.readFileSync(file, 'utf8'), 10) : Number.NaN
  return Number.isNaN(pid) || !isAlive(pid) ? undefined : pid
}

/** Below the range that systems give to outgoing connections, so that a restart finds it free. */
function freshPort(): number {
  return randomInt(20_000, 32_000)
}

const GUARD = `
trap '' INT TERM HUP
cat
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) &&
  kill -9 "$pid" $(ps -A -o pid= -o ppid= | awk -v pid="$pid" '$2 == pid { print $1 }')
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

/** A shell that outlives us just long enough to remove `folder` and the server in it. */
function guard(folder: string): ChildProcess {
  const shell = spawn('sh', ['-c', GUARD, 'sh', folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  return shell
}
