/**
 * Hearing that a process has written to an SQLite file: no daemon, no socket, no polling.
 *
 * A commit writes to the file or to its `-wal`, and the operating system reports that to who
 * watches the directory. The directory, since the `-wal` comes and goes, and a file that
 * replaces another is a new one. All that watch files of one directory in this process share
 * one watcher.
 *
 * @module
 */
import fs from 'node:fs'
import { basename, dirname } from 'node:path'
import { BackendError, FileReplacedError, type StoreError } from '../contract/errors.ts'

interface Watch {
  readonly path: string
  /** Device and inode of the file that is open. */
  readonly identity: string | undefined
  readonly ring: () => void
  readonly onLost: (reason: StoreError) => void
}

/** The watches of one directory, by the name of the file that each is told of. */
interface Directory {
  readonly watcher: fs.FSWatcher
  readonly watches: Map<string, Set<Watch>>
}

const directories = new Map<string, Directory>()

/**
 * Call `ring` for each write to the SQLite file at `path`, and `onLost` when no more will come.
 * @returns what ends it.
 * @throws BackendError when the directory cannot be watched.
 */
export function watchFile(
  path: string,
  ring: () => void,
  onLost: (reason: StoreError) => void,
): () => void {
  const folder = dirname(path)
  const file = basename(path)
  const directory = directories.get(folder) ?? watchDirectory(folder)
  const watch: Watch = { path, identity: identityOf(path), ring, onLost }
  // `-journal` where the mode is not WAL: its end is the commit.
  for (const name of [file, `${file}-wal`, `${file}-journal`]) {
    const watches = directory.watches.get(name)
    if (watches === undefined) directory.watches.set(name, new Set([watch]))
    else watches.add(watch)
  }
  return () => {
    for (const [name, watches] of directory.watches) {
      watches.delete(watch)
      if (watches.size === 0) directory.watches.delete(name)
    }
    if (directory.watches.size === 0) close(folder, directory)
  }
}

function watchDirectory(folder: string): Directory {
  let watcher: fs.FSWatcher
  try {
    watcher = fs.watch(folder, { persistent: false })
  } catch (cause) {
    throw cannotWatch(folder, cause)
  }
  const directory: Directory = { watcher, watches: new Map() }
  directories.set(folder, directory)
  watcher.on('change', (type, name) => {
    // Where the system does not say which file it was, it may have been any.
    const watches =
      name === null
        ? new Set([...directory.watches.values()].flatMap((some) => [...some]))
        : (directory.watches.get(String(name)) ?? [])
    for (const watch of [...watches]) {
      // A name that came or went: is it still the file that was opened? Not every system tells
      // that from a write, which the file itself sees seldom: most go to the `-wal`.
      const isDoubtful = type === 'rename' || name === basename(watch.path)
      if (isDoubtful && identityOf(watch.path) !== watch.identity) {
        lose(directory, watch, new FileReplacedError(watch.path))
      } else watch.ring()
    }
    if (type === 'rename' && identityOf(folder) === undefined) {
      loseAll(folder, directory, cannotWatch(folder, 'it is gone'))
    }
  })
  watcher.on('error', (error) => loseAll(folder, directory, cannotWatch(folder, error)))
  return directory
}

function lose(directory: Directory, watch: Watch, reason: StoreError): void {
  for (const watches of directory.watches.values()) watches.delete(watch)
  watch.onLost(reason)
}

function loseAll(folder: string, directory: Directory, reason: StoreError): void {
  close(folder, directory)
  const all = new Set([...directory.watches.values()].flatMap((some) => [...some]))
  directory.watches.clear()
  for (const watch of all) watch.onLost(reason)
}

function close(folder: string, directory: Directory): void {
  if (directories.get(folder) === directory) directories.delete(folder)
  directory.watcher.close()
}

function identityOf(path: string): string | undefined {
  const stats = fs.statSync(path, { throwIfNoEntry: false, bigint: true })
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`
}

function cannotWatch(folder: string, cause: unknown): BackendError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new BackendError(
    `cannot watch ${folder}: ${reason}; commits of others are found by looking`,
    {
      cause,
    },
  )
}
