/**
 * Waiting for another connection's lock, fairly.
 *
 * SQLite's own busy handler soon asks only every 100 ms. Behind a few writers that never
 * pause it finds the lock taken each time, and gives up after its timeout although the lock
 * was free thousands of times. So a connection that is ours lets SQLite wait for a moment
 * only, and asks again here, every millisecond or so, up to the timeout.
 *
 * @module
 */
import { BusyError } from '../contract/errors.ts'
import { isLocked } from './errors.ts'

/** What SQLite waits by itself, in milliseconds, before it is asked again. */
export const MOMENT_MS = 3

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/**
 * Run `work` until it does not find the database locked. The clock only bounds the wait.
 * @throws BusyError after `busyTimeoutMs`.
 */
export function whileBusy<T>(busyTimeoutMs: number, work: () => T): T {
  let deadline: number | undefined
  for (;;) {
    try {
      return work()
    } catch (error) {
      if (!isLocked(error)) throw error
      deadline ??= performance.now() + busyTimeoutMs
      if (performance.now() >= deadline) {
        throw new BusyError(
          `the database was locked by another connection for ${busyTimeoutMs} ms; try again, or raise busyTimeoutMs`,
          { cause: error },
        )
      }
      // A random pause, so that those who wait do not ask in step.
      Atomics.wait(sleeper, 0, 0, 0.2 + 1.3 * Math.random())
    }
  }
}
