/**
 * Reading a file or standard input synchronously, also where the latter is a pipe that has
 * nothing to give just yet.
 *
 * @module
 */
import { appendFileSync, closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const CHUNK_BYTES = 64 * 1024
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** The bytes of `file` (`-`: standard input), bit by bit. A chunk is good until the next one. */
function* chunksOf(file: string): Generator<Uint8Array> {
  const fd = file === '-' ? 0 : openSync(file, 'r')
  try {
    const chunk = new Uint8Array(CHUNK_BYTES)
    for (let length = read(fd, chunk); length > 0; length = read(fd, chunk)) {
      yield chunk.subarray(0, length)
    }
  } finally {
    if (fd !== 0) closeSync(fd)
  }
}

/** All bytes of `file` (`-`: standard input). */
export function readAll(file: string): Uint8Array {
  return new Uint8Array(Buffer.concat(Array.from(chunksOf(file), (chunk) => chunk.slice())))
}

/** Standard input, whole, in a file that goes away when it is disposed of. */
export function spooledInput(): Disposable & { readonly file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'agent-store-input-'))
  const file = join(folder, 'input')
  const spool = { file, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
  try {
    for (const chunk of chunksOf('-')) appendFileSync(file, chunk)
    appendFileSync(file, '')
    return spool
  } catch (error) {
    spool[Symbol.dispose]()
    throw error
  }
}

/** The lines of `file` that hold anything, with their numbers, in the memory of the longest one. */
export function* linesOf(file: string): Generator<{ number: number; bytes: Uint8Array }> {
  let number = 1
  let rest: Uint8Array[] = []
  for (const chunk of chunksOf(file)) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const bytes = Buffer.concat([...rest, chunk.subarray(from, at)])
      if (!isBlank(bytes)) yield { number, bytes }
      rest = []
      from = at + 1
      number++
    }
    rest.push(chunk.slice(from))
  }
  const bytes = Buffer.concat(rest)
  if (!isBlank(bytes)) yield { number, bytes }
}

/** Read the first of `lines`, so that what is wrong with their file is said before anything is done. */
export function lookInto(lines: Generator<unknown, void>): void {
  lines.next()
  lines.return()
}

function isBlank(bytes: Buffer): boolean {
  return bytes.toString('latin1').trim() === ''
}

function read(fd: number, chunk: Uint8Array): number {
  for (;;) {
    try {
      return readSync(fd, chunk)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EOF') return 0
      if (code !== 'EAGAIN') throw error
      Atomics.wait(sleeper, 0, 0, 5)
    }
  }
}
