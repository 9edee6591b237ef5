/**
 * Whether the files that are open are still the store: asked before a write is acknowledged.
 *
 * A database, its `-wal` or its `-shm` that was deleted, renamed, replaced or moved with its folder
 * takes writes as before, and nobody else ever sees them. So the guard looks at each name behind a
 * commit, and before the call returns. At `full` it looks at every commit; at `normal`, where a
 * power cut may take the last commits anyway, when its last look is older than 10 ms.
 *
 * A look is one `stat` of the folder, whose times change with every name in it (a copy may set the
 * one of modification, and nothing sets the other). Where the time is
 * another one, or so new that a second change could hide behind it, the look goes on to each file:
 * a `stat` of the two names whose times no flush depends on, and on Linux the link of a held
 * descriptor of the `-wal`. A `stat` of the `-wal` itself makes its next flush dearer by a quarter.
 * The guard never opens the database or the `-shm`: closing a descriptor of either would drop the
 * locks of the whole process.
 *
 * @module
 */
import fs from 'node:fs'
import { dirname } from 'node:path'
import type { CommitEvent } from '../contract/entry.ts'
import { FileReplacedError, type StoreError, TwoLibrariesError } from '../contract/errors.ts'
import {
  descriptorsOn,
  isOpenElsewhere,
  librariesOn,
  noteLibrary,
  targetOf,
} from './open-descriptors.ts'

/** At `normal`, a look counts for so long. */
const LOOK_MS = 10
/**
 * How long a new time of the folder is not relied upon: a kernel that takes times from its tick may
 * give the same one to two changes, up to 10 ms apart.
 */
const SETTLED_MS = 50
/** The descriptors of this process are listed this often, or less where there are very many. */
const SCAN_MS = 20
const SCAN_SHARE = 200
const MOST_SCAN_MS = 1_000

/** A connection, as far as a guard has to know it. */
export interface GuardedFile {
  readonly connection: object
  readonly path: string
  /** Look at every commit. */
  readonly isEveryCommit: boolean
  /** Whether the connection is in WAL mode now. */
  isWal(): boolean
}

const STAT = { bigint: true, throwIfNoEntry: false } as const
/** Numbers, which cost less: a time is exact to a quarter of a microsecond. */
const QUICK = { throwIfNoEntry: false } as const

/** The guards of connections that are in use, and by how many backends. */
const guards = new WeakMap<object, { readonly guard: FileGuard; users: number }>()

/**
 * Watch over the file of a connection that has read. Backends on one connection share a guard.
 * @returns the guard, which its user closes.
 * @throws FileReplacedError where the path names no file any more, or not that of the connection.
 * @throws TwoLibrariesError where another library of this process has the file open; its `path` is
 * the file's own, without links.
 */
export function guardFile(file: GuardedFile): FileGuard {
  const known = guards.get(file.connection)
  if (known !== undefined) {
    known.users++
    if (file.isEveryCommit) known.guard.lookAtEveryCommit()
    return known.guard
  }
  let path: string
  try {
    path = fs.realpathSync(file.path)
  } catch {
    throw new FileReplacedError(file.path)
  }
  const identity = identityOf(path) ?? path
  const guard = new FileGuard({ ...file, path })
  const libraries = guard.libraries()
  const reason =
    libraries > 1 || isOpenElsewhere(identity, file.connection)
      ? new TwoLibrariesError(path)
      : guard.isOfConnection()
        ? undefined
        : new FileReplacedError(path)
  if (reason !== undefined) {
    guard.close()
    throw reason
  }
  noteLibrary(identity, file.connection)
  guards.set(file.connection, { guard, users: 1 })
  return guard
}

/** A descriptor of a `-wal`, apart from the guard, so that it can outlive the guard's connection. */
interface Held {
  descriptor: number | undefined
}

/** Gives descriptors back whose connection was dropped without being closed. */
const dropped = new FinalizationRegistry<Held>(giveBack)

function giveBack(held: Held): void {
  if (held.descriptor !== undefined) fs.closeSync(held.descriptor)
  held.descriptor = undefined
}

interface Sidecars {
  readonly sharedMemory: string | undefined
  /** The target of the held descriptor of the `-wal`, or the identity of the file by its name. */
  readonly wal: string | undefined
}

/** Watches over the files of one connection. */
export class FileGuard {
  readonly #file: GuardedFile
  readonly #folderPath: string
  readonly #identity: string | undefined
  readonly #held: Held = { descriptor: undefined }
  #isEveryCommit: boolean
  #sidecars: Sidecars | undefined
  #folder: FolderTime | undefined
  #settledAt = Number.POSITIVE_INFINITY
  /** Whether each file was looked at since the time of the folder has settled. */
  #isTrusted = false
  #lookedAt = Number.NEGATIVE_INFINITY
  #scanAt = Number.NEGATIVE_INFINITY
  /** The first entry that was acknowledged since the last good look. */
  #unseen: CommitEvent | undefined

  /** @param file Its path is absolute and without links. */
  constructor(file: GuardedFile) {
    this.#file = file
    this.#isEveryCommit = file.isEveryCommit
    this.#folderPath = dirname(file.path)
    this.#identity = identityOf(file.path)
    dropped.register(file.connection, this.#held, this.#held)
    if (file.isWal()) this.#capture()
  }

  /** From now on each commit is to survive a power cut. */
  lookAtEveryCommit(): void {
    this.#isEveryCommit = true
  }

  /** The database, without links. */
  get path(): string {
    return this.#file.path
  }

  /** An entry is acknowledged. */
  acknowledged(event: CommitEvent): void {
    if (this.#isEveryCommit || this.#unseen !== undefined) return
    const { stream, writer, seq, contentHash } = event
    this.#unseen = { stream, writer, seq, contentHash }
  }

  /** Returns why the commit that was just made cannot be relied on; `undefined` where it can. */
  afterCommit(): StoreError | undefined {
    // Monotonic, and no order comes of it: it bounds how often the file system is asked.
    const now = performance.now()
    if (!this.#isEveryCommit && now - this.#lookedAt < LOOK_MS) return undefined
    return this.#look(now)
  }

  #look(now: number): StoreError | undefined {
    if (!this.#hasSettled(now) && !this.#isInPlace()) {
      return new FileReplacedError(this.#file.path, this.#unseen)
    }
    if (now >= this.#scanAt) {
      if (this.libraries() > 1) return new TwoLibrariesError(this.#file.path)
      const tookMs = performance.now() - now
      this.#scanAt = now + Math.min(MOST_SCAN_MS, Math.max(SCAN_MS, tookMs * SCAN_SHARE))
    }
    this.#lookedAt = now
    this.#unseen = undefined
    return undefined
  }

  /** How many libraries of this process have the file open, as far as the system says. */
  libraries(): number {
    if (this.#sidecars?.sharedMemory === undefined) return 1
    return librariesOn(`${this.#file.path}-shm`, this.#file.connection) ?? 1
  }

  /**
   * Whether the name is that of the connection's file: in WAL mode SQLite itself has the `-wal` of
   * that name open, unless the name is another file's by now.
   */
  isOfConnection(): boolean {
    if (!this.#file.isWal()) return true
    const found = descriptorsOn(`${this.#file.path}-wal`)
    return found === undefined || found > (this.#held.descriptor === undefined ? 0 : 1)
  }

  /** Give the descriptor back; before the connection closes, which may want to delete the file. */
  close(): void {
    const known = guards.get(this.#file.connection)
    if (known?.guard === this && --known.users > 0) return
    guards.delete(this.#file.connection)
    this.#letGo()
    dropped.unregister(this.#held)
  }

  /** The connection has set its journal mode: the files beside the database are others now. */
  renew(): void {
    this.#letGo()
    if (this.#file.isWal()) this.#capture()
  }

  #letGo(): void {
    this.#sidecars = undefined
    giveBack(this.#held)
  }

  /** Take note of the files beside the database. An exclusive connection has no shared memory. */
  #capture(): void {
    const { path } = this.#file
    const wal = `${path}-wal`
    let target: string | undefined
    if (process.platform === 'linux') {
      try {
        this.#held.descriptor = fs.openSync(wal, 'r')
        target = targetOf(this.#held.descriptor)
      } catch {
        // No descriptor is left: the name is looked at instead.
      }
      if (target === undefined) giveBack(this.#held)
    }
    this.#sidecars = { sharedMemory: identityOf(`${path}-shm`), wal: target ?? identityOf(wal) }
  }

  /** Whether no name in the folder can have changed since each file was looked at. */
  #hasSettled(now: number): boolean {
    const before = this.#folder
    const folder = folderTimeOf(this.#folderPath)
    if (folder === undefined) return false
    const isSame =
      before?.mtimeMs === folder.mtimeMs &&
      before.ctimeMs === folder.ctimeMs &&
      before.ino === folder.ino &&
      before.dev === folder.dev
    if (isSame) {
      if (this.#isTrusted) return true
      // One more look at each file, behind the last change that this time can stand for.
      this.#isTrusted = now >= this.#settledAt
      return false
    }
    this.#folder = folder
    this.#isTrusted = false
    // A file system that counts in hundredths of a second, or in seconds, tells too little.
    const isFine = folder.ctimeMs % 10 !== 0
    this.#settledAt = isFine ? now + SETTLED_MS : Number.POSITIVE_INFINITY
    return false
  }

  #isInPlace(): boolean {
    const { path } = this.#file
    if (!isNamed(path, this.#identity)) return false
    const sidecars = this.#sidecars
    if (sidecars?.wal === undefined) {
      // The files beside it were made since: another name in the folder brought the look here.
      if (this.#file.isWal()) this.#capture()
      return true
    }
    if (this.#areInPlace(sidecars)) return true
    // A connection that left WAL mode has no such files any more.
    if (this.#file.isWal()) return false
    this.#letGo()
    return true
  }

  #areInPlace({ sharedMemory, wal }: Sidecars): boolean {
    const { path } = this.#file
    if (sharedMemory !== undefined && !isNamed(`${path}-shm`, sharedMemory)) return false
    const { descriptor } = this.#held
    if (descriptor !== undefined) return targetOf(descriptor) === wal
    return wal === undefined || isNamed(`${path}-wal`, wal)
  }
}

/** The times of a folder, which tell that a name in it was made, changed or removed. */
type FolderTime = Pick<fs.Stats, 'dev' | 'ino' | 'mtimeMs' | 'ctimeMs'>

function folderTimeOf(folder: string): FolderTime | undefined {
  try {
    return fs.statSync(folder, QUICK)
  } catch {
    return undefined
  }
}

/** Whether the name is that of this file. A folder that may not be entered any more tells nothing. */
function isNamed(path: string, identity: string | undefined): boolean {
  try {
    const stats = fs.statSync(path, STAT)
    return (stats && `${stats.dev}:${stats.ino}`) === identity
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EACCES'
  }
}

/** `device:inode` of what has this name now; `undefined` for nothing. */
function identityOf(path: string): string | undefined {
  try {
    const stats = fs.statSync(path, STAT)
    return stats && `${stats.dev}:${stats.ino}`
  } catch {
    return undefined // a folder that is gone, or may not be entered any more
  }
}
