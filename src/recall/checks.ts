/**
 * Whole numbers that a caller sets.
 *
 * @module
 */
import { quote } from '../index.ts'

/** @throws RangeError that names the argument. */
export function checkCount(argument: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most)
    return
  throw new RangeError(
    `${argument} must be a whole number from ${least} to ${most}, got ${quote(value)}`,
  )
}
