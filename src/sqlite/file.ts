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
import { fileURLToPath, pathToFileURL } from 'node:url'
import { checkCount, checkText } from '../contract/arguments.ts'
import type { Value } from '../contract/backend.ts'
import { BackendError, quote } from '../contract/errors.ts'
import { sqlite } from './builtin.ts'
import type { SqliteDriver } from './driver.ts'
import { translate } from './errors.ts'
import { sharedFileSystemOf } from './file-system.ts'
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
  /**
   * Open an existing file for reading only. Default `false`. A store that nobody has open is read
   * where nothing can be written, too: on a mount that is read-only, or in another user's folder.
   */
  readonly readOnly?: boolean
  /**
   * The permissions of a file that is created, as for `chmod`. Default 0o600: its owner alone may
   * read it. A file that is there keeps its own.
   */
  readonly mode?: number
}

/** Permissions of a new store. */
const DEFAULT_MODE = 0o600

/** Milliseconds. */
const DEFAULT_BUSY_TIMEOUT_MS = 5_000

/** The journal modes that a store can be in. */
export type JournalMode = 'wal' | 'delete' | 'truncate' | 'persist' | 'memory' | 'off'

/** Below this, resetting the WAL can corrupt a file that several connections write. */
const OLDEST_SAFE = [3, 51, 3] as const

/** The size to which the WAL shrinks at a checkpoint, after a long reader had let it grow. */
const WAL_LIMIT_BYTES = 64 * 1024 * 1024

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
  const {
    busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS,
    durability = 'full',
    readOnly = false,
    mode = DEFAULT_MODE,
  } = options
  const file = resolve(toFile(path))
  try {
    checkPlace(file, readOnly)
    if (!readOnly) createFile(file, mode)
  } catch (cause) {
    if (cause instanceof BackendError) throw cause
    throw new BackendError(
      `cannot open ${quote(file)}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
  let connection: DatabaseSync | undefined
  try {
    const place = readOnly && isImmutable(file) ? immutable(file) : file
    connection = new sqlite.DatabaseSync(place, { readOnly, timeout: busyTimeoutMs })
    const read = scalar(connection)
    checkVersion(String(read('SELECT sqlite_version()')))
    setBusyTimeout(connection, busyTimeoutMs)
    // A schema is data of the file: it may call no functions but SQLite's own harmless ones.
    connection.exec('PRAGMA trusted_schema = 0')
    if (readOnly) read('SELECT count(*) FROM sqlite_schema')
    else {
      const wal = setJournalMode(connection, read, file, busyTimeoutMs)
      connection.exec(`PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}`)
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
  if (read('PRAGMA synchronous') === 0n) {
    process.emitWarning(
      `the connection to ${quote(file)} has synchronous=OFF: what it acknowledges can be lost, and the ` +
        "file damaged, by a power cut; pass { durability: 'full' } to fromConnection",
      { code: 'AGENT_STORE_NOT_SYNCHRONOUS' },
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
  if (path instanceof URL) return fromUrl(path)
  checkText('path', path)
  if (path === '') throw new RangeError("path must name a file, got ''")
  if (path === ':memory:') {
    throw new RangeError("path must name a file, got ':memory:'; use SqliteBackend.inMemory()")
  }
  if (!path.startsWith('file:')) return path
  if (!path.startsWith('file:/')) {
    throw new RangeError(
      `path ${quote(path)} is a relative file: name, which programs read in two ways; name the file without file:`,
    )
  }
  return fromUrl(new URL(path))
}

/** SQLite reads options from a query; here they are options of `open`. */
function fromUrl(url: URL): string {
  if (url.search !== '' || url.hash !== '') {
    throw new RangeError(
      `path ${quote(url.href)} has a query or a fragment; pass options to open(), as { readOnly: true }`,
    )
  }
  return fileURLToPath(url)
}

/** Whether nobody has the store open, and nothing can be written beside it. */
function isImmutable(file: string): boolean {
  if (fs.existsSync(`${file}-wal`)) return false
  try {
    fs.accessSync(dirname(file), fs.constants.W_OK)
    return false
  } catch {
    return true
  }
}

/** SQLite then asks for no lock and no shared memory (https://www.sqlite.org/uri.html). */
function immutable(file: string): URL {
  const url = pathToFileURL(file)
  url.searchParams.set('immutable', '1')
  return url
}

/**
 * Make an empty file with these permissions, where there is none. It is made under another name and
 * linked into place: a descriptor of the file itself, once closed, would drop the locks of any
 * connection that this process has to it by then.
 */
function createFile(file: string, mode: number): void {
  if (process.platform === 'win32' || fs.existsSync(file)) return
  const made = `${file}.${process.pid}-${Math.random().toString(36).slice(2)}`
  try {
    fs.writeFileSync(made, '', { mode, flag: 'wx' })
    fs.chmodSync(made, mode)
    fs.linkSync(made, file)
  } catch {
    // Another process was first, or the file system has no links: SQLite makes the file.
  } finally {
    fs.rmSync(made, { force: true })
  }
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
  const network = sharedFileSystemOf(file)
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
  const { busyTimeoutMs, durability, mode } = options
  if (mode !== undefined) checkCount('mode', mode, 0o400, 0o777)
  if (busyTimeoutMs !== undefined) checkCount('busyTimeoutMs', busyTimeoutMs, 0, 2 ** 31 - 1)
  if (durability !== undefined && durability !== 'full' && durability !== 'normal') {
    throw new RangeError(`durability must be 'full' or 'normal', got ${quote(durability)}`)
  }
  return options
}
