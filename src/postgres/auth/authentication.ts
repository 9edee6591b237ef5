/**
 * Showing a server who we are: the client's side of each kind of authentication.
 *
 * @module
 */
import { ConnectionError } from '../../index.ts'
import { readServerError } from '../protocol/server-message.ts'
import type { Wire } from '../protocol/wire.ts'
import { tlsServerEndPoint } from './channel-binding.ts'
import { md5Password } from './md5-password.ts'
import { ScramClient, ScramError } from './scram.ts'

/** Who begins the session. */
export interface Credentials {
  readonly user: string
  password(): string | undefined
  /** Whether the password may be shown as it is: over TLS or a unix socket. */
  readonly isPrivate: boolean
  readonly channelBinding: 'disable' | 'prefer' | 'require'
}

const REQUEST = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 }

/**
 * Answer an authentication request, which has just been read as far as its type.
 * @throws ConnectionError when it cannot or must not be answered.
 */
export function authenticate(credentials: Credentials, wire: Wire): void {
  const { reader } = wire
  const request = reader.int32()
  if (request === REQUEST.sasl) {
    sasl(credentials, wire)
    return
  }
  if (credentials.channelBinding === 'require') {
    throw new ConnectionError(
      'channel binding is required, and the server did not ask for SCRAM-SHA-256-PLUS',
    )
  }
  if (request === REQUEST.ok) return
  if (request === REQUEST.cleartext) {
    if (!credentials.isPrivate) {
      throw new ConnectionError(
        'the server asked for the password in clear text over an open connection; use TLS, or SCRAM on the server',
      )
    }
    answer(wire, passwordOf(credentials))
  } else if (request === REQUEST.md5) {
    answer(wire, md5Password(credentials.user, passwordOf(credentials), reader.bytes(4)))
  } else {
    throw new ConnectionError(
      `the server asks for authentication of kind ${request}; there are SCRAM-SHA-256, md5, password, certificate and trust`,
    )
  }
}

function answer(wire: Wire, password: string): void {
  wire.writer.begin('p').cstring(password).end()
  wire.send()
}

function sasl(credentials: Credentials, wire: Wire): void {
  const { reader, writer, certificate } = wire
  const offered: string[] = []
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) offered.push(name)
  try {
    const scram = new ScramClient({
      password: passwordOf(credentials),
      offered,
      endPoint: certificate === undefined ? undefined : tlsServerEndPoint(certificate),
      channelBinding: credentials.channelBinding,
    })
    const first = scram.first()
    writer.begin('p').cstring(scram.mechanism).int32(first.length).bytes(first).end()
    wire.send()
    const last = scram.final(next(wire, REQUEST.saslContinue))
    writer.begin('p').bytes(last).end()
    wire.send()
    scram.verify(next(wire, REQUEST.saslFinal))
  } catch (error) {
    if (error instanceof ScramError) throw new ConnectionError(error.message, { cause: error })
    throw error
  }
  next(wire, REQUEST.ok)
}

function next({ reader }: Wire, expected: number): Uint8Array {
  const type = reader.next()
  if (type === 'E') {
    const error = readServerError(reader)
    throw new ConnectionError(`the server refused: ${error.text}`, {
      driverCode: error.sqlState,
      cause: error,
    })
  }
  const request = type === 'R' ? reader.int32() : undefined
  if (request !== expected) {
    throw new ConnectionError(`the server sent ${type} ${request} in the midst of SCRAM`)
  }
  return reader.bytes(reader.left)
}

function passwordOf(credentials: Credentials): string {
  const password = credentials.password()
  if (password !== undefined) return password
  throw new ConnectionError(
    `the server asks ${JSON.stringify(credentials.user)} for a password, and there is none: ` +
      'give it in the URL, as an option, in PGPASSWORD or in the password file',
    { driverCode: '28P01' },
  )
}
