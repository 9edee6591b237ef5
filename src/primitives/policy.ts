/**
 * The backend as a reviewed configuration choice: flat, one knob a line, and safe where
 * nothing is said: a local SQLite file, no daemon.
 *
 * A policy holds no secret: it names the environment variable that has the server's URL. What
 * opens a server is `openStore` of `agent-store/postgres`; this module knows no socket.
 *
 * @module
 */
import { PolicyError, quote } from '../contract/errors.ts'
import { SqliteBackend } from '../sqlite/backend.ts'
import type { Durability, SqliteOptions } from '../sqlite/file.ts'

/** The backends that a policy can name. */
export type BackendKind = 'sqlite' | 'postgres'

const KINDS: readonly BackendKind[] = ['sqlite', 'postgres']
const SQLITE_KNOBS = ['path', 'durability', 'busyTimeoutMs'] as const
const POSTGRES_KNOBS = [
  'urlVariable',
  'tls',
  'pooler',
  'reconnect',
  'notify',
  'connectTimeoutMs',
  'deadlineMs',
  'searchPath',
  'applicationName',
] as const
const KNOBS: readonly string[] = ['backend', ...SQLITE_KNOBS, ...POSTGRES_KNOBS]
const DURABILITIES: readonly Durability[] = ['full', 'normal']

/**
 * Which store to open, and how.
 *
 * @example
 * ```ts
 * // config: [store] backend = "sqlite", path = "fleet.db"
 * using db = StorePolicy.from(config.store).open()
 * ```
 */
export class StorePolicy {
  /** Default `'sqlite'`. `'postgres'` is opened by `openStore` of `agent-store/postgres`. */
  readonly backend: BackendKind = 'sqlite'
  /** SQLite: the file. No default: `open` takes the consumer's own. */
  readonly path: string | undefined
  /** SQLite. Default `'full'`: what is acknowledged survives a power cut. */
  readonly durability: Durability = 'full'
  /** SQLite: milliseconds to wait for another connection's lock. Default 5,000. */
  readonly busyTimeoutMs: number = 5_000
  /**
   * Postgres: the environment variable that holds the URL, which may hold a password. Default
   * `AGENT_STORE_URL`. Where it is not set, libpq's own `PG…` variables say where to connect.
   */
  readonly urlVariable: string = 'AGENT_STORE_URL'
  /**
   * Postgres: `'verify-full'` or `'disable'`; there is nothing between. Default: `verify-full`,
   * and `disable` for this machine and for unix sockets.
   */
  readonly tls: 'verify-full' | 'disable' | undefined
  /**
   * Postgres: `'transaction'` behind a pooler that changes servers between transactions, as
   * PgBouncer's transaction mode does. Default `'none'`.
   */
  readonly pooler: 'none' | 'transaction' = 'none'
  /** Postgres: connect again at the call after a loss, never inside a transaction. Default `false`. */
  readonly reconnect: boolean = false
  /** Postgres: tell followers of the store of each commit, by `NOTIFY`. Default `false`. */
  readonly notify: boolean = false
  /** Postgres: milliseconds for each host to answer. Default: the URL's, or 10,000. */
  readonly connectTimeoutMs: number | undefined
  /** Postgres: milliseconds that a call waits without news before it gives up. Default 30,000. */
  readonly deadlineMs: number = 30_000
  /** Postgres: the schema that has the tables. Default: the role's own search path. */
  readonly searchPath: string | undefined
  /** Postgres: the name that the server shows in its list of sessions. Default `agent-store`. */
  readonly applicationName: string | undefined

  private constructor(knobs: Partial<StorePolicy>) {
    Object.assign(this, knobs)
    Object.freeze(this)
  }

  /**
   * Read a policy from a plain object, as a section of a configuration file gives it.
   * @throws PolicyError for an unknown key or value; it lists the known ones.
   */
  static from(config: unknown = {}): StorePolicy {
    if (typeof config !== 'object' || config === null || Array.isArray(config)) {
      throw new PolicyError(`a store policy must be an object, got ${quote(config)}`)
    }
    const knobs: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(config)) {
      if (!KNOBS.includes(key)) {
        throw new PolicyError(
          `unknown key ${quote(key)} in a store policy; known are ${KNOBS.join(', ')}`,
        )
      }
      if (value !== undefined) knobs[key] = value
    }
    const { backend = 'sqlite' } = knobs
    checkOneOf('backend', backend, KINDS)
    for (const key of backend === 'sqlite' ? POSTGRES_KNOBS : SQLITE_KNOBS) {
      if (key in knobs) throw new PolicyError(`${key} is no knob of backend ${quote(backend)}`)
    }
    checkOneOf('durability', knobs.durability, DURABILITIES)
    checkOneOf('tls', knobs.tls, ['verify-full', 'disable'])
    checkOneOf('pooler', knobs.pooler, ['none', 'transaction'])
    checkName('path', knobs.path, 'the name of a file')
    checkName('urlVariable', knobs.urlVariable, 'the name of an environment variable')
    checkName('searchPath', knobs.searchPath, 'the name of a schema')
    checkName('applicationName', knobs.applicationName, 'a name')
    checkMilliseconds('busyTimeoutMs', knobs.busyTimeoutMs, 0)
    checkMilliseconds('connectTimeoutMs', knobs.connectTimeoutMs, 1)
    checkMilliseconds('deadlineMs', knobs.deadlineMs, 1)
    checkFlag('reconnect', knobs.reconnect)
    checkFlag('notify', knobs.notify)
    return new StorePolicy(knobs)
  }

  /**
   * Open the SQLite file that the policy says.
   * @param path The file where the policy names none.
   * @throws PolicyError when neither names a file, or the backend is a server.
   */
  open(path?: string, options: Pick<SqliteOptions, 'readOnly'> = {}): SqliteBackend {
    if (this.backend !== 'sqlite') {
      throw new PolicyError(
        `backend ${quote(this.backend)} is opened by openStore of 'agent-store/postgres'`,
      )
    }
    const file = this.path ?? path
    if (file === undefined)
      throw new PolicyError('no path: set it in the policy, or pass one to open()')
    const { durability, busyTimeoutMs } = this
    return SqliteBackend.open(file, { durability, busyTimeoutMs, ...options })
  }
}

function checkOneOf(key: string, value: unknown, known: readonly string[]): void {
  if (value === undefined || (typeof value === 'string' && known.includes(value))) return
  throw new PolicyError(`unknown ${key} ${quote(value)}; known are ${known.join(', ')}`)
}

function checkName(key: string, value: unknown, what: string): void {
  if (value === undefined || (typeof value === 'string' && value !== '')) return
  throw new PolicyError(`${key} must be ${what}, got ${quote(value)}`)
}

function checkFlag(key: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw new PolicyError(`${key} must be true or false, got ${quote(value)}`)
}

function checkMilliseconds(key: string, value: unknown, least: number): void {
  if (value === undefined) return
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value < 2 ** 31) {
    return
  }
  throw new PolicyError(
    `${key} must be a whole number from ${least} to 2147483647, got ${quote(value)}`,
  )
}
