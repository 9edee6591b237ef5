/**
 * Whether the files that are open are still the store: asked before a write is acknowledged.
 *
 * A database, its `-wal` or its `-shm` that was deleted, renamed, replaced or moved with its folder
 * takes writes as before, and nobody else ever sees them. So the guard looks at each name behind a
 * commit, and before the call returns. At `full` it looks at every commit; at `normal`, where a
 * power cut may take the last commits anyway, when its last look is older than 10 ms.
 *
 * A look is one `stat` of the folder, whose time changes with every name in it. Where the time is
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
import { isOpenElsewhere, librariesOn, noteLibrary, targetOf } from './open-descriptors.ts'

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

/** What a guard has to know of its connection. */
export interface GuardedFile {
  readonly path: string
  /** Look at every commit. */
  readonly isEveryCommit: boolean
  /** The class of the connection, which stands for its library. */
  readonly library: unknown
  /** Whether the connection is in WAL mode now. */
  isWal(): boolean
}

const STAT = { bigint: true, throwIfNoEntry: false } as const
/** Numbers, which cost less: a time is exact to a quarter of a microsecond. */
const QUICK = { throwIfNoEntry: false } as const

/**
 * Watch over the file of a connection that has read.
 * @throws FileReplacedError where the path names no file any more.
 * @throws TwoLibrariesError where another library of this process has the file open; its `path` is
 * the file's own, without links.
 */
export function guardFile(file: GuardedFile): FileGuard {
  let path: string
  try {
    path = fs.realpathSync(file.path)
  } catch {
    throw new FileReplacedError(file.path)
  }
  const identity = identityOf(path) ?? path
  const guard = new FileGuard({ ...file, path })
  if (isOpenElsewhere(identity, file.library) || guard.libraries() > 1) {
    guard.close()
    throw new TwoLibrariesError(path)
  }
  guard.onClose = noteLibrary(identity, file.library)
  return guard
}

interface Sidecars {
  readonly sharedMemory: string | undefined
  /** A descriptor of the `-wal` and what it is open on, or the identity of the file by its name. */
  readonly wal: { readonly descriptor: number; readonly target: string } | string | undefined
}

/** Watches over the files of one connection. */
export class FileGuard {
  readonly #file: GuardedFile
  readonly #folderPath: string
  readonly #identity: string | undefined
  #sidecars: Sidecars | undefined
  #folder: FolderTime | undefined
  #settledAt = Number.POSITIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  #scanAt = Number.NEGATIVE_INFINITY
  /** The first entry that was acknowledged since the last good look. */
  #unseen: CommitEvent | undefined

  /** Called when the guard is closed. */
  onClose: () => void = () => {}

  /** @param file Its path is absolute and without links. */
  constructor(file: GuardedFile) {
    this.#file = file
    this.#folderPath = dirname(file.path)
    this.#identity = identityOf(file.path)
    this.#sidecars = file.isWal() ? sidecarsOf(file.path) : undefined
  }

  /** The database, without links. */
  get path(): string {
    return this.#file.path
  }

  /** An entry is acknowledged. */
  acknowledged(event: CommitEvent): void {
    if (this.#file.isEveryCommit || this.#unseen !== undefined) return
    const { stream, writer, seq, contentHash } = event
    this.#unseen = { stream, writer, seq, contentHash }
  }

  /** Returns why the commit that was just made cannot be relied on; `undefined` where it can. */
  afterCommit(): StoreError | undefined {
    // Monotonic, and no order comes of it: it bounds how often the file system is asked.
    const now = performance.now()
    if (!this.#file.isEveryCommit && now - this.#lookedAt < LOOK_MS) return undefined
    return this.look(now)
  }

  /** Look now. */
  look(now: number = performance.now()): StoreError | undefined {
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
    if (this.#sidecars === undefined) return 1
    return librariesOn(`${this.#file.path}-shm`, this.#file.library) ?? 1
  }

  /** Give the descriptor back; before the connection closes, which may want to delete the file. */
  close(): void {
    this.onClose()
    this.onClose = () => {}
    this.#letGo()
  }

  #letGo(): void {
    const wal = this.#sidecars?.wal
    this.#sidecars = undefined
    if (typeof wal === 'object') fs.closeSync(wal.descriptor)
  }

  /** Whether no name in the folder can have changed since each file was looked at. */
  #hasSettled(now: number): boolean {
    const before = this.#folder
    const folder = folderTimeOf(this.#folderPath)
    if (folder === undefined) return false
    const isSame =
      before?.ino === folder.ino && before.dev === folder.dev && before.mtimeMs === folder.mtimeMs
    if (isSame) return now >= this.#settledAt
    this.#folder = folder
    // A file system that counts in hundredths of a second, or in seconds, tells too little.
    const isFine = folder.mtimeMs % 10 !== 0
    this.#settledAt = isFine ? now + SETTLED_MS : Number.POSITIVE_INFINITY
    return false
  }

  #isInPlace(): boolean {
    const { path } = this.#file
    if (identityOf(path) !== this.#identity) return false
    const sidecars = this.#sidecars
    if (sidecars === undefined || areInPlace(path, sidecars)) return true
    // A connection that left WAL mode has no such files any more.
    if (this.#file.isWal()) return false
    this.#letGo()
    return true
  }
}

/** What tells that a name in a folder was made, changed or removed. */
type FolderTime = Pick<fs.Stats, 'dev' | 'ino' | 'mtimeMs'>

function folderTimeOf(folder: string): FolderTime | undefined {
  try {
    return fs.statSync(folder, QUICK)
  } catch {
    return undefined
  }
}

function sidecarsOf(path: string): Sidecars {
  const sharedMemory = identityOf(`${path}-shm`)
  // An exclusive connection has no shared memory, and nobody else beside it.
  if (sharedMemory === undefined) return { sharedMemory, wal: undefined }
  const wal = `${path}-wal`
  if (process.platform !== 'linux') return { sharedMemory, wal: identityOf(wal) }
  let descriptor: number
  try {
    descriptor = fs.openSync(wal, 'r')
  } catch {
    return { sharedMemory, wal: undefined }
  }
  const target = targetOf(descriptor)
  if (target !== undefined) return { sharedMemory, wal: { descriptor, target } }
  fs.closeSync(descriptor)
  return { sharedMemory, wal: identityOf(wal) }
}

function areInPlace(path: string, { sharedMemory, wal }: Sidecars): boolean {
  if (sharedMemory !== undefined && identityOf(`${path}-shm`) !== sharedMemory) return false
  if (wal === undefined) return true
  return typeof wal === 'string'
    ? identityOf(`${path}-wal`) === wal
    : targetOf(wal.descriptor) === wal.target
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
