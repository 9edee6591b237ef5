// What the benchmark asks of every peer: open a directory, append durably, read everything back.

import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'

export interface Peer {
  /** Name and version, for example 'hypercore 11.37.1'. */
  readonly name: string
  /** What is on disk when `append` returns, in one line. */
  readonly durability: string
  open(dir: string): Promise<void>
  /** One durable append at a time. */
  append(payload: Uint8Array): Promise<void>
  /** One commit for all of them, where the peer has a batch. */
  appendMany?(payloads: Uint8Array[]): Promise<void>
  /** Reads every entry through the peer's own reading call and returns how many there were. */
  readAll(): Promise<number>
  close(): Promise<void>
}

/** SQLite's two useful settings: NORMAL leaves commits to the next checkpoint, FULL flushes each. */
export type Synchronous = 'NORMAL' | 'FULL'

/** The installed version of a package, which its `exports` may hide from an import. */
export function versionOf(packageName: string): string {
  const file = findPackageJSON(packageName, import.meta.url)
  if (file === undefined) throw new Error(`${packageName} is not installed`)
  return JSON.parse(readFileSync(file, 'utf8')).version
}

/** The payload as text, for peers whose events are JSON. */
export function toBase64(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('base64')
}
