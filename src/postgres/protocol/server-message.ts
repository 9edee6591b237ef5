/**
 * What a server says of its own accord or instead of an answer: errors, warnings, notifications.
 *
 * @module
 */
import { ConnectionError } from '../../index.ts'
import type { MessageReader } from './message-reader.ts'

/** An error or a warning, as the server reported it. The `cause` of the store's own errors. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
  /** `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE`, …: never translated. */
  readonly severity: string
  /** Five letters and digits; see PostgreSQL's appendix A. */
  readonly sqlState: string
  readonly detail: string | undefined
  readonly hint: string | undefined
  readonly constraint: string | undefined
  /** The function in the server's source that reported it. */
  readonly routine: string | undefined

  constructor(fields: ReadonlyMap<string, string>) {
    super(fields.get('M') ?? 'the server gave no reason')
    this.severity = fields.get('V') ?? fields.get('S') ?? 'ERROR'
    this.sqlState = fields.get('C') ?? 'XX000'
    this.detail = fields.get('D')
    this.hint = fields.get('H')
    this.constraint = fields.get('n')
    this.routine = fields.get('R')
  }

  /** Whether the server has hung up with it. */
  get isFatal(): boolean {
    return this.severity === 'FATAL' || this.severity === 'PANIC'
  }

  /** A commit that stands on this server, and on no standby that was to have it as well. */
  get isUnreplicatedCommit(): boolean {
    return this.routine === 'SyncRepWaitForLSN'
  }

  /** Message, detail and hint in one line. */
  get text(): string {
    return [this.message, this.detail, this.hint].filter((part) => part !== undefined).join('; ')
  }
}

/** Read an ErrorResponse or a NoticeResponse. */
export function readServerError(reader: MessageReader): ServerError {
  const fields = new Map<string, string>()
  for (let code = reader.byte(); code !== 0; code = reader.byte()) {
    fields.set(String.fromCharCode(code), reader.cstring())
  }
  return new ServerError(fields)
}

/** What is thrown when the server ends the connection with an error. */
export function hungUp(error: ServerError): ConnectionError {
  return new ConnectionError(`the server ended the connection: ${error.text}`, {
    driverCode: error.sqlState,
    cause: error,
  })
}

/** What a `NOTIFY` brought. */
export interface Notification {
  readonly channel: string
  readonly payload: string
  /** The process of the server that sent it. */
  readonly processId: number
}

/** Read a NotificationResponse. */
export function readNotification(reader: MessageReader): Notification {
  const processId = reader.int32()
  return { processId, channel: reader.cstring(), payload: reader.cstring() }
}
