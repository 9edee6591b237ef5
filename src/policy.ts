/**
 * The backend as a reviewed configuration choice: flat, one knob a line, and safe where
 * nothing is said: a local SQLite file, no daemon.
 *
 * @module
 */
import { PolicyError, quote } from './errors.ts'
import { SqliteBackend } from './sqlite.ts'
import type { Durability, SqliteOptions } from './sqlite-file.ts'

/** The backends that a policy can name. */
export type BackendKind = 'sqlite' | 'postgres'

const KINDS: readonly BackendKind[] = ['sqlite', 'postgres']
const KNOBS = ['backend', 'path', 'durability', 'busyTimeoutMs'] as const
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
  /** Default `'sqlite'`. `'postgres'` is a known name that this version cannot open. */
  readonly backend: BackendKind = 'sqlite'
  /** The file. No default: `open` takes the consumer's own. */
  readonly path: string | undefined
  /** Default `'full'`: what is acknowledged survives a power cut. */
  readonly durability: Durability = 'full'
  /** Milliseconds to wait for another connection's lock. Default 5,000. */
  readonly busyTimeoutMs: number = 5_000

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
      if (!(KNOBS as readonly string[]).includes(key)) {
        throw new PolicyError(
          `unknown key ${quote(key)} in a store policy; known are ${KNOBS.join(', ')}`,
        )
      }
      if (value !== undefined) knobs[key] = value
    }
    const { backend, durability, busyTimeoutMs, path } = knobs
    checkOneOf('backend', backend, KINDS)
    checkOneOf('durability', durability, DURABILITIES)
    if (path !== undefined && (typeof path !== 'string' || path === '')) {
      throw new PolicyError(`path must be the name of a file, got ${quote(path)}`)
    }
    if (busyTimeoutMs !== undefined && !isTimeout(busyTimeoutMs)) {
      throw new PolicyError(
        `busyTimeoutMs must be a whole number from 0 to 2147483647, got ${quote(busyTimeoutMs)}`,
      )
    }
    return new StorePolicy(knobs)
  }

  /**
   * Open what the policy says.
   * @param path The file where the policy names none.
   * @throws PolicyError when neither names a file, or the backend is not in this version.
   */
  open(path?: string, options: Pick<SqliteOptions, 'readOnly'> = {}): SqliteBackend {
    if (this.backend !== 'sqlite') {
      throw new PolicyError(
        `backend ${quote(this.backend)} cannot be opened by this version; use 'sqlite'`,
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

function isTimeout(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 31
}
