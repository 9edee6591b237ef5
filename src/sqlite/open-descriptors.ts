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
import { sqlite } from './builtin.ts'

const DESCRIPTORS = '/proc/self/fd'

/** Returns the file that a descriptor is open on; `undefined` where the system does not say. */
export function targetOf(descriptor: number | string): string | undefined {
  try {
    return fs.readlinkSync(`${DESCRIPTORS}/${descriptor}`)
  } catch {
    return undefined
  }
}

/** How many descriptors of this process are open on this file; `undefined` where that is not shown. */
export function descriptorsOn(file: string): number | undefined {
  try {
    return fs.readdirSync(DESCRIPTORS).filter((each) => targetOf(each) === file).length
  } catch {
    return undefined
  }
}

/**
 * How many libraries of this process use the database of this `-shm` file in WAL mode; `undefined`
 * where the system does not show the descriptors of a process (it is not Linux). A library of which
 * only connections are left that {@link leaveOpen} keeps is not counted, unless it is that of `connection`.
 */
export function librariesOn(sharedMemory: string, connection: object): number | undefined {
  const open = descriptorsOn(sharedMemory)
  if (open === undefined) return undefined
  const abandoned = new Set([...(leftOpen.get(sharedMemory) ?? [])].map(libraryOf))
  abandoned.delete(libraryOf(connection))
  return open - abandoned.size
}

/** For each file (`device:inode`), the connections that this thread has to it. */
type Registry = Map<string, Set<WeakRef<object>>>

/** One registry for all copies of this package in a thread. */
const REGISTRY = Symbol.for('agent-store.sqlite.connections')

function registry(): Registry {
  const known: unknown = Reflect.get(globalThis, REGISTRY)
  if (known instanceof Map) return known
  const files: Registry = new Map()
  Reflect.set(globalThis, REGISTRY, files)
  return files
}

/** Returns the class that the SQLite library of a connection has for connections, which stands for the library. */
function libraryOf(connection: object): unknown {
  return connection instanceof sqlite.DatabaseSync ? sqlite.DatabaseSync : connection.constructor
}

function isOpen(connection: object): boolean {
  if ('isOpen' in connection) return connection.isOpen === true
  return 'open' in connection && connection.open === true
}

/** Whether this thread has the file open through another library than that of `connection`. */
export function isOpenElsewhere(file: string, connection: object): boolean {
  const connections = registry().get(file)
  if (connections === undefined) return false
  for (const reference of connections) {
    const other = reference.deref()
    // A connection that was closed or dropped says nothing more of the file.
    if (other === undefined || !isOpen(other)) connections.delete(reference)
    else if (libraryOf(other) !== libraryOf(connection)) return true
  }
  if (connections.size === 0) registry().delete(file)
  return false
}

/** Note that `connection` has the file open. */
export function noteLibrary(file: string, connection: object): void {
  const files = registry()
  const connections = files.get(file) ?? new Set()
  files.set(file, connections.add(new WeakRef(connection)))
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
