/**
 * Which SQLite libraries of this process have a file open.
 *
 * POSIX locks belong to the process, so two libraries on one file do not see each other: the one
 * that closes first takes the WAL away from the other, and two writers at once damage the file. A
 * library opens the `-shm` of a file once, however many connections it has; so where this process
 * has two descriptors of it, there are two libraries (https://www.sqlite.org/howtocorrupt.html,
 * "Multiple copies of SQLite linked into the same application").
 *
 * @module
 */
import fs from 'node:fs'
import { quote } from '../contract/errors.ts'

const DESCRIPTORS = '/proc/self/fd'

/** What one descriptor is open on; `undefined` where the system does not say. */
export function targetOf(descriptor: number | string): string | undefined {
  try {
    return fs.readlinkSync(`${DESCRIPTORS}/${descriptor}`)
  } catch {
    return undefined
  }
}

/**
 * How many libraries of this process use the database of this `-shm` file in WAL mode; `undefined`
 * where the system does not show the descriptors of a process (it is not Linux). A library of which
 * only connections are left that {@link leaveOpen} keeps is not counted, unless it is `library`.
 */
export function librariesOn(sharedMemory: string, library: unknown): number | undefined {
  let descriptors: readonly string[]
  try {
    descriptors = fs.readdirSync(DESCRIPTORS)
  } catch {
    return undefined
  }
  const open = descriptors.filter((descriptor) => targetOf(descriptor) === sharedMemory).length
  const abandoned = new Set([...(leftOpen.get(sharedMemory) ?? [])].map((each) => each.constructor))
  return open - [...abandoned].filter((other) => other !== library).length
}

/** For each file (`device:inode`), the libraries that this thread has it open through, and how often. */
type Registry = Map<string, Map<unknown, number>>

/** One registry for all copies of this package in a thread. */
const REGISTRY = Symbol.for('agent-store.sqlite.libraries')

function registry(): Registry {
  const known: unknown = Reflect.get(globalThis, REGISTRY)
  if (known instanceof Map) return known
  const files: Registry = new Map()
  Reflect.set(globalThis, REGISTRY, files)
  return files
}

/** Whether this thread has the file open through another library than `library`. */
export function isOpenElsewhere(file: string, library: unknown): boolean {
  return [...(registry().get(file)?.keys() ?? [])].some((other) => other !== library)
}

/** Note that `library` has the file open. Returns a function that takes the note back. */
export function noteLibrary(file: string, library: unknown): () => void {
  const files = registry()
  const libraries = files.get(file) ?? new Map<unknown, number>()
  files.set(file, libraries)
  libraries.set(library, (libraries.get(library) ?? 0) + 1)
  return () => {
    const left = (libraries.get(library) ?? 1) - 1
    if (left > 0) libraries.set(library, left)
    else libraries.delete(library)
    if (libraries.size === 0 && files.get(file) === libraries) files.delete(file)
  }
}

/** Connections that must not be closed before the process ends. */
const leftOpen = new Map<string, Set<object>>()

/** Keep a connection open on purpose, and say why. */
export function leaveOpen(connection: object, path: string): void {
  const kept = leftOpen.get(`${path}-shm`) ?? new Set()
  leftOpen.set(`${path}-shm`, kept.add(connection))
  process.emitWarning(
    `the connection to ${quote(path)} stays open until this process ends: another SQLite ` +
      'library has the file open, and to close this one would take its locks and its WAL away; ' +
      'use one library for each file and process, by SqliteBackend.fromConnection',
    { code: 'AGENT_STORE_TWO_LIBRARIES' },
  )
}
