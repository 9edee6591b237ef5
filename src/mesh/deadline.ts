/**
 * The time that a step with a peer may take. The only use of a clock here: it decides how long
 * to wait, and nothing else.
 *
 * @module
 */
import { MeshTimeoutError } from './errors.ts'

/**
 * Wait for `work`, and not longer than `timeoutMs`.
 * @param giveUp called when the time is over, before the error is thrown: ends what is waited for.
 * @throws MeshTimeoutError, or what `work` throws.
 */
export async function within<T>(
  step: string,
  timeoutMs: number,
  work: Promise<T>,
  giveUp: () => void = () => {},
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new MeshTimeoutError(step, timeoutMs))
      giveUp()
    }, timeoutMs)
  })
  try {
    return await Promise.race([work, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
