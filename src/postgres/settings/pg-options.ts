/**
 * What a user may say about a Postgres connection, and the check that it is well said.
 *
 * @module
 */
import { PolicyError } from '../../index.ts'
import { shown } from './keywords.ts'

/** In the clear, or with the server's certificate and name verified. */
export type TlsMode = 'disable' | 'verify-full'

/** How to reach a Postgres server. Everything may be left out, as with `psql`. */
export interface PgOptions {
  /**
   * `postgres://user:password@h1:5432,h2/database?…`, or libpq's `host=… port=…`. A parameter
   * is one of libpq's: host, hostaddr, port, dbname, user, password, passfile,
   * application_name, sslmode, sslrootcert, sslcert, sslkey (files), connect_timeout
   * (seconds), target_session_attrs, options (`-c name=value`), channel_binding.
   */
  readonly url?: string | URL | undefined
  /**
   * Names or addresses, tried in order. What starts with '/' is the folder of a Unix socket,
   * with '@' an abstract one. Default: `PGHOST`; else the Unix socket in
   * `/var/run/postgresql` or `/tmp`, the first that is there; else `localhost`.
   */
  readonly host?: string | readonly string[] | undefined
  /** 1 to 65535; one for all hosts, or one for each. Default 5432. */
  readonly port?: number | readonly number[] | undefined
  /** Default: the name of the user. */
  readonly database?: string | undefined
  /** Default: the user of the operating system. */
  readonly user?: string | undefined
  /** A function is called at each connect. Default: `PGPASSWORD`, else the password file. */
  readonly password?: string | (() => string) | undefined
  /**
   * Default: `'verify-full'`, but `'disable'` for a host on this machine (`localhost`,
   * 127.0.0.0/8, `::1`). A Unix socket never carries TLS, whatever is said here.
   */
  readonly tls?: TlsMode | undefined
  /**
   * The roots to trust, as PEM text, or `'system'` for the runtime's own. Default:
   * `~/.postgresql/root.crt` where it is there, else `'system'`.
   */
  readonly ca?: string | Uint8Array | undefined
  /** The client's certificate, as PEM text; with `key`. Default: `~/.postgresql/postgresql.crt`. */
  readonly cert?: string | Uint8Array | undefined
  /** The client's private key, as PEM text; with `cert`. Default: `~/.postgresql/postgresql.key`. */
  readonly key?: string | Uint8Array | undefined
  /**
   * Whether SCRAM is bound to the TLS channel. `'require'` needs TLS to every host. Default
   * `'prefer'`: wherever the server can.
   */
  readonly channelBinding?: ChannelBinding | undefined
  /** What `pg_stat_activity` shows. Default `'agent-store'`. */
  readonly applicationName?: string | undefined
  /** The schemas to look tables up in, as `search_path` takes them. Default: the server's. */
  readonly searchPath?: string | undefined
  /** Default `'read-write'`: a server that takes no writes (a standby) is passed over. */
  readonly targetSessionAttrs?: 'any' | 'read-write' | undefined
  /** Milliseconds for each host to accept and authenticate, 1 to 2^31-1. Default 10,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Milliseconds for each wait for the server, 1 to 2^31-1. Default 30,000. */
  readonly deadlineMs?: number | undefined
  /** `'transaction'` for a pooler that gives each transaction another session. Default `'none'`. */
  readonly pooler?: 'none' | 'transaction' | undefined
  /** Whether a lost connection is made again. Default `false`. */
  readonly reconnect?: boolean | undefined
  /**
   * Whether commits of this backend are told to those who follow the store, by `NOTIFY`: a
   * message to the server for each turn of the event loop that committed. Default `false`.
   */
  readonly notify?: boolean | undefined
}

/** Whether to bind SCRAM to the TLS channel. */
export type ChannelBinding = 'disable' | 'prefer' | 'require'

type Check = (name: string, value: unknown) => void

const MAX_MS = 2 ** 31 - 1

const CHECKS: Readonly<Record<keyof PgOptions, Check>> = {
  url: (name, value) => {
    if (!(value instanceof URL)) checkText(name, value)
  },
  host: (name, value) => {
    for (const host of listOf(value)) checkText(name, host)
  },
  port: (name, value) => {
    for (const port of listOf(value)) checkWhole(name, port, 65_535)
  },
  database: checkText,
  user: checkText,
  password: (name, value) => {
    if (typeof value === 'function') return
    if (typeof value !== 'string')
      throw wrong(name, 'text or a function that gives it', typeof value)
    checkSecret(name, value)
  },
  tls: oneOf('disable', 'verify-full'),
  ca: checkPem,
  cert: checkPem,
  key: checkPem,
  channelBinding: oneOf('disable', 'prefer', 'require'),
  applicationName: checkText,
  searchPath: checkText,
  targetSessionAttrs: oneOf('any', 'read-write'),
  connectTimeoutMs: (name, value) => checkWhole(name, value, MAX_MS),
  deadlineMs: (name, value) => checkWhole(name, value, MAX_MS),
  pooler: oneOf('none', 'transaction'),
  reconnect: checkFlag,
  notify: checkFlag,
}

/**
 * Check every option. It is the type of what comes from a configuration file, or from
 * JavaScript, that a compiler has not seen.
 * @throws PolicyError for an unknown option, and it lists the known ones; for a value that is
 * not one of the option's.
 */
export function checkOptions(options: unknown): asserts options is PgOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new PolicyError(
      `the options must be an object, a connection string or a URL, got ${shown(options)}`,
    )
  }
  for (const [name, value] of Object.entries(options)) {
    if (!isOption(name)) {
      throw new PolicyError(
        `unknown option ${shown(name)}; known are ${Object.keys(CHECKS).join(', ')}`,
      )
    }
    if (value !== undefined) CHECKS[name](name, value)
  }
}

/** Text that a C string on the wire can hold. */
export function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw wrong(name, 'text', shown(value))
  if (!isClean(value)) throw wrong(name, 'well-formed Unicode without a NUL', shown(value))
}

/** The same, and never shown. */
export function checkSecret(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw wrong(name, 'text', typeof value)
  if (!isClean(value)) throw wrong(name, 'well-formed Unicode without a NUL', 'other text')
}

/** One value, or several. */
export function listOf<T>(value: T | readonly T[]): readonly T[]
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function isOption(name: string): name is keyof PgOptions {
  return Object.hasOwn(CHECKS, name)
}

function isClean(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

function checkWhole(name: string, value: unknown, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most) return
  throw wrong(name, `a whole number from 1 to ${most}`, shown(value))
}

function checkFlag(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw wrong(name, 'true or false', shown(value))
}

function checkPem(name: string, value: unknown): void {
  if (typeof value === 'string' || value instanceof Uint8Array) return
  throw wrong(name, 'PEM text, as a string or bytes', typeof value)
}

function oneOf(...known: readonly string[]): Check {
  return (name, value) => {
    if (typeof value === 'string' && known.includes(value)) return
    throw wrong(name, known.map((one) => `'${one}'`).join(' or '), shown(value))
  }
}

function wrong(name: string, what: string, got: string): PolicyError {
  return new PolicyError(`${name} must be ${what}, got ${got}`)
}
