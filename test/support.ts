/**
 * What several test files need: a folder that goes away, bytes from text, a stand-in for
 * chance that is the same in every run, and process warnings caught as they come.
 *
 * @module
 */
import './from-source.ts'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Backend, Entry, Value } from 'agent-store'

/** A folder of its own, removed after the test. */
export function temporaryFolder(t: Pick<TestContext, 'after'>): string {
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  return folder
}

/** The path of a file that does not exist yet, in a folder of its own. */
export function temporaryFile(t: Pick<TestContext, 'after'>): string {
  return join(temporaryFolder(t), 'store.db')
}

/** UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array | null | undefined): string {
  if (bytes === null || bytes === undefined) throw new TypeError('expected bytes')
  return Buffer.from(bytes).toString('hex')
}

/** Bytes from hex. */
export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

/** What a test relies on being there. */
export function defined<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new TypeError('expected a value')
  return value
}

/** xorshift32: numbers from 0 to below `bound`, the same ones for the same `seed`. */
export function numbers(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % bound
  }
}

/** Bytes that look like any, the same ones for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const next = numbers(seed)
  return Uint8Array.from({ length }, () => next(256))
}

/** Codes of the process warnings given from now on. Node gives them a tick later. */
export function warningCodes(t: TestContext): () => Promise<string[]> {
  const codes: string[] = []
  const listen = (warning: Error & { code?: string }) => {
    if (warning.code !== undefined) codes.push(warning.code)
  }
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  return () => new Promise((done) => setImmediate(() => done(codes)))
}

/** Put an entry into the table as given, right or wrong. */
export function insertRaw(db: Backend, row: readonly Value[]): void {
  db.exec('INSERT INTO _agent_store_log VALUES (?, ?, ?, ?, ?, ?)', row)
}

/** The entry's plain fields, for comparison. */
export function plain(entry: Entry): Entry {
  const { stream, writer, seq, prevHash, contentHash, payload } = entry
  return { stream, writer, seq, prevHash, contentHash, payload }
}

/** Node's uncaught exceptions from now on, in order, in place of the end of the process. */
export function uncaught(t: Pick<TestContext, 'after'>): readonly unknown[] {
  const caught: unknown[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => caught.push(error))
  t.after(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of others) process.on('uncaughtException', listener)
  })
  return caught
}

/** What `work` threw on its own, outside of any call: Node's uncaught exceptions, in order. */
export async function uncaughtFrom(work: () => void): Promise<unknown[]> {
  const caught: unknown[] = []
  const mine = (error: unknown) => void caught.push(error)
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', mine)
  try {
    work()
    await new Promise((done) => setImmediate(done))
  } finally {
    process.off('uncaughtException', mine)
    for (const listener of others) process.on('uncaughtException', listener)
  }
  return caught
}

/** A reason to skip a test on another runtime than Node, or `false`. */
export function unlessOn(runtime: 'bun' | 'deno', reason: string): string | false {
  return runtime in process.versions && `${runtime}: ${reason}`
}

/** How many watches this process has on files and directories, as Linux counts them. */
export function systemWatches(): number {
  const folder = '/proc/self/fdinfo'
  return fs
    .readdirSync(folder)
    .map((fd) => {
      try {
        return fs.readFileSync(join(folder, fd), 'utf8')
      } catch {
        return '' // the one that lists the folder
      }
    })
    .join('')
    .split('\n')
    .filter((line) => line.startsWith('inotify ')).length
}

/** Why watches cannot be counted here. */
export const withoutCount: string | false =
  process.platform !== 'linux' && 'only Linux tells how many watches a process has'
