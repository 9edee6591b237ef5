/**
 * Opening an SQLite file so that several processes can share it and nothing that was
 * acknowledged is lost: a busy timeout, WAL asserted, the durability asked for, and an
 * SQLite that does not corrupt what several connections write.
 *
 * @module
 */
import fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { checkCount, checkText } from '../contract/arguments.ts'
import type { Value } from '../contract/backend.ts'
import { BackendError, quote } from '../contract/errors.ts'
import { sqlite } from './builtin.ts'
import type { SqliteDriver } from './driver.ts'
import { translate } from './errors.ts'
import { MOMENT_MS, whileBusy } from './lock-wait.ts'

/**
 * What an acknowledged write survives. `'full'`: a power cut. `'normal'`: the end of the
 * process, but at a power cut or a crash of the system the last acknowledged writes are
 * lost (up to 457 of 1,500 in a simulation), and their sequence numbers are given out
 * again with other content, which a bell may have announced already.
 */
export type Durability = 'full' | 'normal'

/** How a file is opened. */
export interface SqliteOptions {
  /** How long to wait for another connection's lock, in milliseconds. Default 5,000. */
  readonly busyTimeoutMs?: number
  /** What an acknowledged write survives. Default `'full'`. */
  readonly durability?: Durability
  /** Open an existing file for reading only. Default `false`. */
  readonly readOnly?: boolean
}

/** Milliseconds. */
const DEFAULT_BUSY_TIMEOUT_MS = 5_000

/** The journal modes that a store can be in. */
export type JournalMode = 'wal' | 'delete' | 'truncate' | 'persist' | 'memory' | 'off'

/** Below this, resetting the WAL can corrupt a file that several connections write. */
const OLDEST_SAFE = [3, 51, 3] as const

/** `f_type` of statfs(2) for file systems of other machines, where WAL's shared memory fails. */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9P'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x73757245, 'Coda'],
])

/** An open file. */
export interface OpenedFile {
  readonly connection: DatabaseSync
  readonly path: string
  /**
   * For how long the backend is to wait for a lock, where SQLite itself waits a moment only;
   * `undefined` where readers are locked out too (no WAL), so that SQLite must do it.
   */
  readonly patienceMs: number | undefined
  /** Whether each commit is to survive a power cut. */
  readonly isEveryCommit: boolean
}

/** Let SQLite itself wait for a lock, for so long. */
export function setBusyTimeout(driver: Pick<SqliteDriver, 'exec'>, busyTimeoutMs: number): void {
  driver.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`)
}

/** Open `path` as the options say. @throws as `SqliteBackend.open`. */
export function openFile(path: string | URL, options: SqliteOptions): OpenedFile {
  const { busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS, durability = 'full', readOnly = false } = options
  const file = resolve(toFile(path))
  try {
    checkPlace(file, readOnly)
  } catch (cause) {
    if (cause instanceof BackendError) throw cause
    throw new BackendError(
      `cannot open ${quote(file)}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
  let connection: DatabaseSync | undefined
  try {
    connection = new sqlite.DatabaseSync(file, { readOnly, timeout: busyTimeoutMs })
    const read = scalar(connection)
    checkVersion(String(read('SELECT sqlite_version()')))
    setBusyTimeout(connection, busyTimeoutMs)
    if (readOnly) read('SELECT count(*) FROM sqlite_schema')
    else {
      const wal = setJournalMode(connection, read, file, busyTimeoutMs)
      connection.exec(`PRAGMA synchronous = ${synchronous(durability, wal)}`)
      // On macOS a plain fsync leaves the data in the drive's cache; elsewhere these do nothing.
      if (durability === 'full') {
        connection.exec('PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1')
      }
    }
    const isOurs = !readOnly && read('PRAGMA journal_mode') === 'wal'
    if (isOurs) setBusyTimeout(connection, Math.min(MOMENT_MS, busyTimeoutMs))
    const patienceMs = isOurs ? busyTimeoutMs : undefined
    return { connection, path: file, patienceMs, isEveryCommit: durability === 'full' }
  } catch (error) {
    if (connection?.isOpen) connection.close()
    const failure = translate(error)
    if (!(failure instanceof BackendError) || failure.driverCode === undefined) throw failure
    throw new BackendError(`cannot open ${quote(file)}: ${failure.message}`, {
      cause: error,
      driverCode: failure.driverCode,
    })
  }
}

/** Set what a write on an open connection survives. */
export function setDurability(driver: SqliteDriver, durability: Durability): void {
  const mode = driver.prepare('PRAGMA journal_mode').all([])[0]?.[0]
  driver.exec(`PRAGMA synchronous = ${synchronous(durability, mode === 'wal')}`)
}

/**
 * Say what is wrong with a consumer's own connection to a file.
 * @returns the path of the file; `undefined` for a database in memory.
 */
export function reportConnection(read: (sql: string) => Value | undefined): string | undefined {
  const file = read("SELECT file FROM pragma_database_list WHERE name = 'main'")
  if (typeof file !== 'string' || file === '') return undefined
  checkVersion(String(read('SELECT sqlite_version()')))
  if (read('PRAGMA busy_timeout') === 0n) {
    process.emitWarning(
      `the connection to ${quote(file)} has no busy timeout, so a second writer fails at once; ` +
        'run PRAGMA busy_timeout = 5000 on it, or pass { busyTimeoutMs } to fromConnection',
      { code: 'AGENT_STORE_NO_BUSY_TIMEOUT' },
    )
  }
  return file
}

function scalar(connection: DatabaseSync): (sql: string) => unknown {
  return (sql) => Object.values({ ...connection.prepare(sql).get() })[0]
}

// EXTRA also syncs the folder after the rollback journal is removed; without that, a power
// cut can bring the journal back, and with it undo an acknowledged commit.
function synchronous(durability: Durability, wal: boolean): string {
  if (durability === 'normal') return 'NORMAL'
  return wal ? 'FULL' : 'EXTRA'
}

function toFile(path: unknown): string {
  if (path instanceof URL) return fileURLToPath(path)
  checkText('path', path)
  if (path === '') throw new RangeError("path must name a file, got ''")
  if (path === ':memory:') {
    throw new RangeError("path must name a file, got ':memory:'; use SqliteBackend.inMemory()")
  }
  return path.startsWith('file:') ? fileURLToPath(new URL(path)) : path
}

function checkPlace(file: string, readOnly: boolean): void {
  const found = statOf(file)
  if (found?.isDirectory()) {
    throw new BackendError(`cannot open ${quote(file)}: it is a folder; name a file in it`)
  }
  if (found !== undefined) return
  if (readOnly) throw new BackendError(`cannot open ${quote(file)}: there is no such file`)
  const folder = dirname(file)
  if (statOf(folder)?.isDirectory() !== true) {
    throw new BackendError(`cannot create ${quote(file)}: there is no folder ${quote(folder)}`)
  }
}

/** `undefined` where there is nothing, also where a file stands in the way of a folder. */
function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    // Node takes this for no entry, Bun and Deno throw it.
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return undefined
    throw error
  }
}

function checkVersion(version: string): void {
  const parts = version.split('.').map(Number)
  for (const [i, oldest] of OLDEST_SAFE.entries()) {
    const part = parts[i] ?? 0
    if (part > oldest) return
    if (part < oldest) {
      throw new BackendError(
        `SQLite ${version} can corrupt a file that several connections write; ` +
          `${OLDEST_SAFE.join('.')} or newer is needed (Node 24.21, Node 26.6)`,
      )
    }
  }
}

/** @returns whether the file is in WAL mode now. */
function setJournalMode(
  connection: DatabaseSync,
  read: (sql: string) => unknown,
  file: string,
  busyTimeoutMs: number,
): boolean {
  const network = NETWORK_FILE_SYSTEMS.get(fs.statfsSync(dirname(file)).type >>> 0)
  const wanted = network === undefined ? 'wal' : 'delete'
  // The switch to WAL reports a lock at once, whatever the busy timeout is.
  const mode = whileBusy(busyTimeoutMs, () => {
    const current = read('PRAGMA journal_mode')
    return current === wanted ? current : read(`PRAGMA journal_mode = ${wanted}`)
  })
  if (mode === 'wal' && network === undefined) return true
  if (mode === 'wal') {
    throw new BackendError(
      `cannot open ${quote(file)}: it is in WAL mode on ${network}, which corrupts it, and others have it open`,
    )
  }
  // A file that another process only may read, or a file system without shared memory.
  if (mode !== 'delete') connection.exec('PRAGMA journal_mode = DELETE')
  process.emitWarning(
    `${quote(file)} cannot use WAL${network === undefined ? '' : ` (it lies on ${network})`}; ` +
      'using a rollback journal: as durable, but readers and writers wait for each other',
    { code: 'AGENT_STORE_NO_WAL' },
  )
  return false
}

/** @throws TypeError, RangeError that name the option. */
export function checkOptions(options: SqliteOptions): SqliteOptions {
  const { busyTimeoutMs, durability } = options
  if (busyTimeoutMs !== undefined) checkCount('busyTimeoutMs', busyTimeoutMs, 0, 2 ** 31 - 1)
  if (durability !== undefined && durability !== 'full' && durability !== 'normal') {
    throw new RangeError(`durability must be 'full' or 'normal', got ${quote(durability)}`)
  }
  return options
}
