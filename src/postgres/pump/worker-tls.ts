/**
 * The TLS handshake with a server, in the worker. Here the certificate of the server is checked:
 * by `node:tls`, whose default it is to refuse a chain that does not end in a trusted root, and a
 * name that is not the one asked for.
 *
 * Part of the worker's program, and shipped as text like it; see `worker-program.ts`.
 *
 * @module
 */
import { isIP, type Socket } from 'node:net'
import type { PumpTls } from './commission.ts'

const WRITE_FAILED_MS = 1_000
/** PostgreSQL's SSLRequest, and its two answers. */
const TLS_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47)
const TLS_ACCEPTED = 83
const TLS_REFUSED = 78

/** The ways in which a handshake ends. */
interface Outcome {
  /** @param certificate The certificate of the server, DER in base64. */
  opened(socket: Socket, certificate: string | undefined): void
  refused(message: string): void
  failed(error: unknown): void
}

/**
 * A failed write would close the socket with what the server said before unread. The end of
 * that comes by reading, and is known at once; the wait is for systems where it does not.
 */
export function readOn<S extends Socket>(socket: S): S {
  const { _write: write, _writev: writev } = socket
  // Other runtimes have one of the two, or none; Node has null in the place of one.
  if (typeof write === 'function') {
    socket._write = (chunk, encoding, done) => write.call(socket, chunk, encoding, delayed(done))
  }
  if (typeof writev === 'function') {
    socket._writev = (chunks, done) => writev.call(socket, chunks, delayed(done))
  }
  return socket
}

function delayed(done: (error?: Error | null) => void): (error?: Error | null) => void {
  return (error) => {
    if (error) setTimeout(done, WRITE_FAILED_MS, error)
    else done()
  }
}

/** Ask the server for TLS over `raw`, and shake hands. */
export function startTls(raw: Socket, tls: PumpTls, outcome: Outcome): void {
  raw.write(TLS_REQUEST)
  raw.once('data', (answer: Buffer) => {
    raw.pause()
    if (answer.length !== 1 || answer[0] !== TLS_ACCEPTED) {
      const isRefused = answer.length === 1 && answer[0] === TLS_REFUSED
      outcome.refused(
        isRefused
          ? 'the server does not speak TLS'
          : 'the server did not answer the request for TLS as it must',
      )
      raw.destroy()
      return
    }
    try {
      shakeHands(raw, tls, outcome)
    } catch (error) {
      outcome.failed(error) // a certificate or key that is none
      raw.destroy()
    }
  })
}

function shakeHands(raw: Socket, { ca, cert, key, serverName }: PumpTls, outcome: Outcome): void {
  const server = isIP(serverName) === 0 ? { servername: serverName } : {}
  // Loaded when it is first needed: a worker without TLS starts sooner.
  const { connect: connectTls } = process.getBuiltinModule('node:tls')
  const options = { socket: raw, ca, cert, key, host: serverName, ...server }
  const socket = readOn(
    connectTls(options, () => {
      const peer = socket.getPeerX509Certificate?.()
      outcome.opened(socket, peer && Buffer.from(peer.raw).toString('base64'))
    }),
  )
  socket.on('error', (error) => outcome.failed(error))
}
