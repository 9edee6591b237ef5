/**
 * SQLite's failures as the store's own errors, recognised by result code, never by message.
 *
 * @module
 */
import { BackendError, BusyError, ClosedError, StoreError } from '../contract/errors.ts'

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const NAMES: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  3: 'SQLITE_PERM',
  4: 'SQLITE_ABORT',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  7: 'SQLITE_NOMEM',
  8: 'SQLITE_READONLY',
  9: 'SQLITE_INTERRUPT',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  15: 'SQLITE_PROTOCOL',
  17: 'SQLITE_SCHEMA',
  18: 'SQLITE_TOOBIG',
  19: 'SQLITE_CONSTRAINT',
  20: 'SQLITE_MISMATCH',
  21: 'SQLITE_MISUSE',
  26: 'SQLITE_NOTADB',
}

const ADVICE: Readonly<Record<string, string>> = {
  SQLITE_FULL: '; nothing of this statement was stored, free some space and try again',
  SQLITE_READONLY: '; the file, its folder or this connection may only be read',
  SQLITE_NOTADB: '; the file is not an SQLite database (or an encrypted one)',
  SQLITE_CORRUPT: '; restore a backup, or see what `agent-store verify` can still read',
}

/** The primary result code's name, where `error` is SQLite's. */
function sqliteCode(error: Error): string | undefined {
  // node:sqlite has a number; better-sqlite3 has the (extended) name as its code.
  if ('errcode' in error && typeof error.errcode === 'number') {
    return NAMES[error.errcode & 0xff] ?? `SQLITE_${error.errcode & 0xff}`
  }
  if (!('code' in error) || typeof error.code !== 'string') return undefined
  const name = /^SQLITE_[A-Z]+/.exec(error.code)?.[0]
  if (name !== undefined) return name
  return error.code === 'ERR_SQLITE_ERROR' ? 'SQLITE_ERROR' : undefined
}

/** Whether a lock was in the way that can go away by waiting. */
export function isLocked(error: unknown): boolean {
  return error instanceof Error && sqliteCode(error) === 'SQLITE_BUSY' && !isSuperseded(error)
}

/** SQLITE_BUSY_SNAPSHOT: this connection reads a state that somebody has written behind since. */
function isSuperseded(error: Error): boolean {
  if ('errcode' in error) return error.errcode === 517
  return 'code' in error && error.code === 'SQLITE_BUSY_SNAPSHOT'
}

/** The store's error for what a driver threw; anything that is not a database's passes through. */
export function translate(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error
  const driverCode = sqliteCode(error)
  if (isSuperseded(error)) {
    return new BusyError(
      'an open iterate() or read transaction of this connection holds an older state; finish it before writing',
      { cause: error },
    )
  }
  if (driverCode === 'SQLITE_BUSY' || driverCode === 'SQLITE_LOCKED') {
    return new BusyError(
      `the database is locked by another connection (${error.message}); try again, or raise busyTimeoutMs`,
      { cause: error },
    )
  }
  if (driverCode === 'SQLITE_TOOBIG') {
    return new RangeError(
      'a value or row is beyond the size that this SQLite stores (1,000,000,000 bytes)',
      {
        cause: error,
      },
    )
  }
  if (driverCode !== undefined) {
    return new BackendError(`${error.message}${hint(driverCode, error.message)}`, {
      cause: error,
      driverCode,
    })
  }
  if ('code' in error && error.code === 'ERR_INVALID_STATE') {
    return new ClosedError('the connection was closed meanwhile; open it again to go on', {
      cause: error,
    })
  }
  // The driver's refusal of an argument keeps its type; everything else is the backend's failure.
  if (error instanceof TypeError || error instanceof RangeError) return error
  return new BackendError(error.message, { cause: error })
}

function hint(driverCode: string, message: string): string {
  // Advice only: nothing is decided by the wording.
  if (driverCode === 'SQLITE_ERROR' && message.includes('no such table: _agent_store')) {
    return '; call Generation.ensureSchema(db) and WriterLog.ensureSchema(db) first'
  }
  return ADVICE[driverCode] ?? ''
}
