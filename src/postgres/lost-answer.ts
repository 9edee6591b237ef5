/**
 * The meaning of an answer that is lost, or that says no, for the caller: refused, lost, or in doubt.
 *
 * @module
 */
import {
  BackendError,
  ConnectionError,
  DeadlineError,
  InDoubtError,
  type StoreError,
} from '../index.ts'
import { ChangedResultError, isStale } from './protocol/answer.ts'
import { ServerError } from './protocol/server-message.ts'
import { isRead, type SqlText } from './sql-text.ts'

/**
 * The typed error for whatever a call threw.
 * @param server Its name, for messages.
 * @param doubtful Whether something may be stored when the answer is lost.
 */
export function translate(error: unknown, server: string, doubtful: boolean): unknown {
  if (error instanceof ServerError) {
    if (error.isUnreplicatedCommit) {
      return new InDoubtError(
        `committed on ${server}, and on no standby that was to have it: ${error.text}`,
        { cause: error },
      )
    }
    return new BackendError(error.text, { cause: error, driverCode: error.sqlState })
  }
  if (error instanceof ChangedResultError) {
    return doubtful
      ? new InDoubtError(`the statement was run once, but ${error.message}`, { cause: error })
      : new BackendError(`the statement was run, but ${error.message}`, { cause: error })
  }
  if (!isLoss(error) || !doubtful) return error
  return new InDoubtError(
    `the answer of ${server} was lost, what was sent may be stored: ${error.message}`,
    { cause: error },
  )
}

/**
 * Whether a statement whose answer is lost may have stored something: a write outside of a
 * transaction, whose commit comes with it.
 */
export function mayBeStored(text: SqlText, isOutsideTransaction: boolean): boolean {
  return isOutsideTransaction && !isRead(text)
}

/** Outside of a transaction, the statement can be run once more: it stored nothing. */
export function isStaleRefusal(error: unknown): boolean {
  return error instanceof BackendError && isStale(error.cause)
}

/** What a call says that finds the connection lost before it sends; throws what is no loss. */
export function lossOf(error: unknown): StoreError {
  if (!isLoss(error)) throw error
  return new ConnectionError(
    `the connection was lost (${error.message}); connect again, or set reconnect`,
    { cause: error, driverCode: 'driverCode' in error ? error.driverCode : undefined },
  )
}

function isLoss(error: unknown): error is ConnectionError | DeadlineError {
  return error instanceof ConnectionError || error instanceof DeadlineError
}
