/**
 * The beginning of a session: who we are and what we ask for, until the server is ready.
 *
 * @module
 */
import { authenticate, type Credentials } from './auth/authentication.ts'
import { hungUp, readServerError } from './protocol/server-message.ts'
import type { Wire } from './protocol/wire.ts'

/** How to begin a session. */
export interface SessionSettings {
  readonly credentials: Credentials
  readonly database: string
  /** Run-time parameters of the server for this session. */
  readonly parameters: Readonly<Record<string, string>>
  /** Parse every statement at each use: behind a pooler that changes servers between transactions. */
  readonly unnamed: boolean
  readonly connectTimeoutMs: number
  readonly deadlineMs: number
}

const PROTOCOL_3 = 196_608

/** @throws ConnectionError when the server refuses; `driverCode` is the SQLSTATE. */
export function shakeHands(
  wire: Wire,
  { credentials, database, parameters }: SessionSettings,
): void {
  const { reader } = wire
  const writer = wire.writer.begin('').int32(PROTOCOL_3)
  const all = { user: credentials.user, database, client_encoding: 'UTF8', ...parameters }
  for (const [name, value] of Object.entries(all)) writer.cstring(name).cstring(value)
  writer.byte('\0').end()
  wire.send()
  for (let type = reader.next(); type !== 'Z'; type = reader.next()) {
    if (type === 'R') authenticate(credentials, wire)
    else if (type === 'E') throw hungUp(readServerError(reader))
    else if (type === 'S') wire.setParameter()
    else if (type !== 'K' && type !== 'N' && type !== 'v') throw wire.unexpected(type)
  }
  wire.setStatus()
}
