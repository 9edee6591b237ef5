/**
 * PgBouncer before a server, in transaction mode: what many clients of a managed PostgreSQL
 * talk to, and where a session is not theirs for longer than a transaction.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { freshPort, guard } from './guard.ts'
import { findProgram, giveTo } from './installation.ts'
import { isAlive, signal, waitUntil } from './process-table.ts'
import type { Server } from './server.ts'

export interface PgBouncerOptions {
  /** Connections to the server. Default: 2, so that clients do meet in one. */
  readonly poolSize?: number
  /** How many prepared statements of its clients it keeps apart. Default: 0, none. */
  readonly maxPreparedStatements?: number
  /** Lines of the section `[pgbouncer]`. */
  readonly settings?: readonly string[]
}

export interface PgBouncer extends Disposable {
  readonly port: number
  url(database?: string): string
  log(): string
  /** End it and remove its folder. */
  [Symbol.dispose](): void
}

/** The first release that knows of prepared statements. */
const KNOWS_STATEMENTS: readonly [number, number] = [1, 21]

/** Why a test with such options cannot run here, or `false`. */
export function withoutPgBouncer({
  maxPreparedStatements = 0,
}: PgBouncerOptions = {}): string | false {
  const program = findProgram('pgbouncer')
  if (program === undefined) return 'PgBouncer is not installed'
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' })
  const [, major, minor] = /(\d+)\.(\d+)/.exec(stdout)?.map(Number) ?? []
  if (major === undefined || minor === undefined) return 'PgBouncer does not tell its version'
  const [sinceMajor, sinceMinor] = KNOWS_STATEMENTS
  const knows = major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)
  if (maxPreparedStatements === 0 || knows) return false
  return `PgBouncer ${major}.${minor} knows no prepared statements; ${KNOWS_STATEMENTS.join('.')} does`
}

/** A PgBouncer with the server's own user and password, ready for connections. */
export function startPgBouncer(server: Server, options: PgBouncerOptions = {}): PgBouncer {
  const missing = withoutPgBouncer(options)
  const program = findProgram('pgbouncer')
  if (missing !== false || program === undefined) throw new Error(missing || 'no PgBouncer')
  const { account } = server.installation
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-pgbouncer-'))
  const release = guard(folder, 'pid')
  giveTo(account, folder)
  fs.writeFileSync(join(folder, 'users'), `"${server.user}" "${server.password}"\n`)

  const logFile = join(folder, 'log')
  const log = () => (fs.existsSync(logFile) ? fs.readFileSync(logFile, 'utf8') : '')
  let port = freshPort()
  for (let tries = 1; ; tries++) {
    const ini = join(folder, 'pgbouncer.ini')
    fs.writeFileSync(ini, configuration(folder, port, server, options))
    const { status, error, stderr } = spawnSync(program, ['--daemon', '--quiet', ini], {
      ...account,
      cwd: folder,
      encoding: 'utf8',
    })
    if (status === 0) {
      waitUntil('PgBouncer is up', () => log().includes('process up'))
      break
    }
    if (tries === 5 || !`${log()}${stderr}`.includes('ddress already in use')) {
      throw new Error(`pgbouncer: ${error?.message ?? stderr}${log()}`)
    }
    port = freshPort()
  }

  return {
    port,
    url(database) {
      const url = new URL(server.url(database))
      url.port = String(port)
      return url.href
    },
    log,
    [Symbol.dispose]() {
      if (!fs.existsSync(folder)) return
      const pid = Number(fs.readFileSync(join(folder, 'pid'), 'utf8'))
      signal(pid, 'SIGKILL')
      waitUntil('PgBouncer is gone', () => !isAlive(pid))
      fs.rmSync(folder, { recursive: true, force: true })
      release()
    },
  }
}

function configuration(
  folder: string,
  port: number,
  server: Server,
  { poolSize = 2, maxPreparedStatements = 0, settings = [] }: PgBouncerOptions,
): string {
  return [
    '[databases]',
    `* = host=127.0.0.1 port=${server.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    'auth_type = scram-sha-256',
    `auth_file = ${join(folder, 'users')}`,
    `logfile = ${join(folder, 'log')}`,
    `pidfile = ${join(folder, 'pid')}`,
    ...(maxPreparedStatements === 0 ? [] : [`max_prepared_statements = ${maxPreparedStatements}`]),
    ...settings,
    '',
  ].join('\n')
}
