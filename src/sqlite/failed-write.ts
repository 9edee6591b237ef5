/**
 * A write that failed in the disk's write or flush: undone for certain, or in doubt.
 *
 * SQLite reports the failure and takes the write back in memory, but its frames, with the mark of a
 * commit, may be in the WAL. A process that dies then leaves them to be replayed: what was said not
 * to be stored is there. The next frames that are written overwrite them, so some are written and
 * flushed before anything is said.
 *
 * @module
 */
import { BackendError, InDoubtError } from '../contract/errors.ts'
import type { SqliteDriver } from './driver.ts'

/**
 * Run what may write.
 * @throws InDoubtError where the disk failed and what it has is not known; else what `work` throws.
 */
export function settled<T>(driver: SqliteDriver, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const isDisk = error instanceof BackendError && error.driverCode === 'SQLITE_IOERR'
    if (!isDisk || !driver.isOpen || driver.inTransaction || overwrite(driver)) throw error
    // The best that is left, without a flush that is known to have worked.
    emptyWal(driver)
    throw new InDoubtError(
      `the disk failed, and whether the write is stored after a crash is not known: ${error.message}; see ` +
        'that the disk is sound, append the same payload again, or open the store anew and look at its head',
      { cause: error },
    )
  }
}

/** Write the header as it is: one frame and its flush, in the place of those that failed. */
function overwrite(driver: SqliteDriver): boolean {
  try {
    const version = driver.prepare('PRAGMA user_version').all([])[0]?.[0] ?? 0n
    driver.exec(`PRAGMA user_version = ${String(version)}`)
    return true
  } catch {
    return false
  }
}

function emptyWal(driver: SqliteDriver): void {
  try {
    driver.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all([])
  } catch {
    // In doubt all the same.
  }
}
