/**
 * Throwaway PostgreSQL servers, started and stopped without giving way to the event loop.
 *
 * A server lives in a folder of its own, answers on a loopback port and on a socket in that
 * folder, and wants a password (SCRAM-SHA-256). It ends with the process that started it.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { type Certificates, makeCertificates } from './certificates.ts'
import { copyTemplate, createData, type Settings, SUPERUSER, writeSettings } from './data-folder.ts'
import { freshPort, guard } from './guard.ts'
import { findServer, giveTo, type Installation } from './installation.ts'
import { childrenOf, isAlive, signal, waitUntil } from './process-table.ts'

export interface ServerOptions extends Settings {
  /** Accept TLS, by these certificates or by new ones. Default: false. */
  readonly tls?: boolean | Certificates
  /** Its own system identifier. Otherwise all servers of a version have one. Default: false. */
  readonly ownIdentity?: boolean
  /** Default: the first that {@link findServer} finds. */
  readonly installation?: Installation
}

export interface Server extends Disposable {
  readonly installation: Installation
  readonly options: ServerOptions
  /** All that it has: `data`, `log`, and its socket. */
  readonly folder: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly certificates: Certificates | undefined
  /** Of a database, `postgres` by default, over TCP. */
  url(database?: string): string
  /** All that the server has logged. */
  log(): string
  /** Add lines to `postgresql.conf`, which the next start or `reload` reads. */
  configure(...lines: string[]): void
  /** Have it read its settings again, which it does soon after. */
  reload(): void
  /** Start it where it was, after `stop` or `kill`. */
  start(): void
  /** `fast` tells its clients; `immediate` is a crash that the next start recovers from. */
  stop(mode?: 'fast' | 'immediate'): void
  /** SIGKILL to all its processes. */
  kill(): void
  restart(): void
  /** Halt all its processes, with their connections open, until `thaw` or `kill`. */
  freeze(): void
  thaw(): void
  /** Make a primary of a standby. */
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
 * at the same time, or else one on a server that this process starts at the first call. That
 * server does not flush, so it is quick, and keeps all but what a power cut would take.
 */
export function databaseUrl(): string {
  const given = process.env.AGENT_STORE_TEST_PG_URL
  if (given !== undefined) return given
  shared ??= startServer({ fsync: false })
  return shared.url()
}

/** A server of its own, ready for connections. */
export function startServer(options: ServerOptions = {}): Server {
  const server = prepareServer(options, options.ownIdentity ? createData : copyTemplate)
  server.start()
  return server
}

/** A server that is not started yet, with the data that `fill` makes. */
export function prepareServer(
  options: ServerOptions,
  fill: (installation: Installation, folder: string) => void,
): Server {
  const installation = options.installation ?? findServer()
  if ('missing' in installation) throw new Error(installation.missing)
  const { account, bin } = installation
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-pg-'))
  const release = guard(folder, 'data/postmaster.pid')
  giveTo(account, folder)
  const { tls } = options
  const certificates = tls === true ? makeCertificates(folder, account) : tls || undefined
  const data = join(folder, 'data')
  fill(installation, folder)
  writeSettings(folder, options, certificates)

  let port = freshPort()
  let hasRun = false
  const logFile = join(folder, 'log')
  const log = () => (fs.existsSync(logFile) ? fs.readFileSync(logFile, 'utf8') : '')

  function control(action: string, ...args: string[]): void {
    const command = [action, '--pgdata', data, '--wait', '--silent', ...args]
    const { status, stdout, stderr } = spawnSync(join(bin, 'pg_ctl'), command, {
      ...account,
      cwd: folder,
      encoding: 'utf8',
    })
    if (status === 0) return
    throw new Error(`pg_ctl ${action}: ${stderr}${stdout}${log().slice(-2000)}`)
  }

  function signalAll(name: NodeJS.Signals): number[] {
    const pid = postmaster(data)
    if (pid === undefined) return []
    signal(pid, 'SIGSTOP') // so that it starts no more
    const all = [...childrenOf(pid), pid]
    for (const each of all) signal(each, name)
    return all
  }

  const server: Server = {
    installation,
    options,
    folder,
    get port() {
      return port
    },
    ...SUPERUSER,
    certificates,
    url(database = 'postgres') {
      return `postgres://${SUPERUSER.user}:${SUPERUSER.password}@127.0.0.1:${port}/${database}`
    },
    log,
    configure(...lines) {
      fs.appendFileSync(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`)
    },
    reload: () => control('reload'),
    start() {
      for (let tries = 1; ; tries++) {
        try {
          control('start', '--log', logFile, '--options', `-p ${port}`)
          hasRun = true
          return
        } catch (error) {
          // Its clients know the port of a server that has run, so that one stays.
          if (hasRun || tries === 5 || !log().includes('Address already in use')) throw error
          fs.rmSync(logFile)
          port = freshPort()
        }
      }
    },
    stop: (mode = 'fast') => control('stop', '--mode', mode),
    kill() {
      const all = signalAll('SIGKILL')
      waitUntil('a killed server is gone', () => !isAlive(...all))
      // The numbers in its lock files may soon be another's, or stay if nobody waits for them.
      fs.rmSync(join(data, 'postmaster.pid'), { force: true })
      fs.rmSync(join(folder, `.s.PGSQL.${port}.lock`), { force: true })
    },
    restart() {
      if (postmaster(data) !== undefined) server.stop()
      server.start()
    },
    freeze: () => void signalAll('SIGSTOP'),
    thaw: () => void signalAll('SIGCONT'),
    promote: () => control('promote'),
    [Symbol.dispose]() {
      server.kill()
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
      release()
    },
  }
  return server
}

/** The first process of the server with this data, while it runs. */
function postmaster(data: string): number | undefined {
  const file = join(data, 'postmaster.pid')
  if (!fs.existsSync(file)) return undefined
  const pid = Number.parseInt(fs.readFileSync(file, 'utf8'), 10)
  return isAlive(pid) ? pid : undefined
}
