/**
 * A copy of a store in one file, made beside writers.
 *
 * `VACUUM INTO` reads one state of the database and writes it under a name of its own; the copy is
 * checked and flushed there, and gets its name last. Until then nothing has that name, and what was
 * there before is never written over.
 *
 * @module
 */
import fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import { checkText } from '../contract/arguments.ts'
import { BackendError, quote } from '../contract/errors.ts'

/** @throws TypeError, RangeError for a path that names no file. @throws BackendError where one is. */
export function checkTarget(path: unknown): string {
  checkText('path', path)
  if (path === '') throw new RangeError("path must name a file, got ''")
  const file = resolve(path)
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    if (fs.existsSync(`${file}${suffix}`)) {
      throw new BackendError(
        `${quote(`${file}${suffix}`)} is there already, and nothing is written over; name another file`,
      )
    }
  }
  return file
}

/**
 * Have `make` write a file under another name, `check` it, flush it, and give it the name `file`.
 * @throws BackendError where the name was taken meanwhile; whatever `make` and `check` throw. Then
 * nothing is left behind.
 */
export function placeFile(
  file: string,
  make: (made: string) => void,
  check: (made: string) => void,
): void {
  const made = `${file}.${process.pid}-${Math.random().toString(36).slice(2)}`
  try {
    make(made)
    fs.chmodSync(made, 0o600)
    check(made)
    flush(made, 'r+')
    // A link takes no name that is in use, and a rename would.
    fs.linkSync(made, file)
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) {
      throw new BackendError(`cannot write ${quote(file)}: ${cause.message}`, { cause })
    }
    throw cause
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      fs.rmSync(`${made}${suffix}`, { force: true })
    }
  }
  if (process.platform !== 'win32') flush(dirname(file), 'r')
}

function flush(path: string, flags: string): void {
  const descriptor = fs.openSync(path, flags)
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}
