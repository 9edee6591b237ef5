/**
 * The folder that a PostgreSQL server keeps its data in: how it comes to be, and its settings.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { Certificates } from './certificates.ts'
import { type Installation, isOurs, publish } from './installation.ts'

/** The role that may do all, on every server. */
export const SUPERUSER = { user: 'agent', password: 'vT4-qm9_Zc7Lr2' }

const INITDB = ['--encoding=UTF8', '--locale=C', '--auth=scram-sha-256', '--wal-segsize=1']

export interface Settings {
  /** Lines of `postgresql.conf`; a later line wins. */
  readonly settings?: readonly string[]
  /** Lines of `pg_hba.conf` that go before the usual ones. */
  readonly hba?: readonly string[]
  /** Flush what is committed to disk. Default: true. */
  readonly fsync?: boolean
}

/**
 * Make `${folder}/data` by `initdb`. It has a system identifier of its own, while all copies
 * of a template have the same.
 */
export function createData(installation: Installation, folder: string, name = 'data'): void {
  const secret = join(folder, 'password')
  fs.writeFileSync(secret, SUPERUSER.password)
  const args = [...INITDB, '--no-sync', `--username=${SUPERUSER.user}`, `--pwfile=${secret}`]
  runAs(installation, join(installation.bin, 'initdb'), ...args, join(folder, name))
}

/** Make `${folder}/data` by copying a template, which is made once for each version. */
export function copyTemplate(installation: Installation, folder: string): void {
  const { account, bin, version } = installation
  const identity = createHash('sha256')
    .update(JSON.stringify([bin, version, account, os.userInfo().uid, SUPERUSER, INITDB]))
    .digest('hex')
    .slice(0, 16)
  const template = join(os.tmpdir(), `agent-store-pg-template-${identity}`)
  if (!isOurs(template, account)) {
    createData(installation, folder, 'template')
    publish(join(folder, 'template'), template)
  }
  copyData(installation, template, folder)
}

/** Make `${folder}/data` by copying the data of a server that does not run. */
export function copyData(installation: Installation, from: string, folder: string): void {
  runAs(installation, 'cp', '-a', from, join(folder, 'data'))
}

/** Write both files of settings. The port is not among them. */
export function writeSettings(
  folder: string,
  { fsync = true, settings = [], hba = [] }: Settings,
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
  ]
  if (tls !== undefined) {
    lines.push(
      'ssl = on',
      `ssl_ca_file = '${tls.authority}'`,
      `ssl_cert_file = '${tls.certificate}'`,
      `ssl_key_file = '${tls.key}'`,
    )
  }
  writeLines(join(folder, 'data/postgresql.conf'), [...lines, ...settings])
  writeLines(join(folder, 'data/pg_hba.conf'), [
    ...hba,
    'local all all scram-sha-256',
    'host all all 127.0.0.1/32 scram-sha-256',
    'host replication all 127.0.0.1/32 scram-sha-256',
  ])
}

function writeLines(file: string, lines: readonly string[]): void {
  fs.writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
}

/** Run a command as the one who runs the server. */
function runAs({ account }: Installation, command: string, ...args: string[]): void {
  const options = { ...account, cwd: os.tmpdir(), encoding: 'utf8' } as const
  const { status, error, stderr } = spawnSync(command, args, options)
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`)
}
