/**
 * A process that stands where a server should: one that gives a fixed answer, or one in the
 * middle that shows a certificate of its own and reads along.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import type { TestContext } from 'node:test'
import tls from 'node:tls'

/** What it does with whoever connects. */
export type Role =
  /** It sends these bytes, whatever it hears, and hangs up where told. */
  | { readonly answer: string; readonly andEnds?: boolean }
  /** It takes the place of the server with this port on 127.0.0.1. */
  | { readonly target: number; readonly certificate: string; readonly key: string }

/** Start one, for the time of a test. @returns its port on 127.0.0.1. */
export async function startImpostor(t: Pick<TestContext, 'after'>, role: Role): Promise<number> {
  const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(role)], {
    stdio: ['pipe', 'pipe', 'inherit'], // it ends with its stdin
  })
  t.after(() => child.kill('SIGKILL'))
  const [port]: unknown[] = await once(child.stdout.setEncoding('utf8'), 'data')
  return Number(port)
}

const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47)

function play(role: Role, client: net.Socket): void {
  client.on('error', () => undefined)
  if ('answer' in role) {
    client.on('data', () => {
      if (role.andEnds) client.end(role.answer, 'latin1')
      else client.write(role.answer, 'latin1')
    })
    return
  }
  const server = net.connect(role.target, '127.0.0.1', () => server.write(SSL_REQUEST))
  server.once('data', () => {
    const inner = tls.connect({ socket: server, rejectUnauthorized: false }, () => {
      client.once('data', () => {
        client.write('S')
        const [cert, key] = [role.certificate, role.key].map((file) => fs.readFileSync(file))
        const context = tls.createSecureContext({ cert, key })
        const outer = new tls.TLSSocket(client, { isServer: true, secureContext: context })
        outer.on('error', () => inner.destroy())
        inner.on('error', () => outer.destroy())
        inner.pipe(outer).pipe(inner)
      })
    })
  })
}

if (import.meta.main) {
  const role: Role = JSON.parse(process.argv[2] ?? '')
  const listener = net.createServer((client) => play(role, client))
  listener.listen(0, '127.0.0.1', () => {
    const address = listener.address()
    if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
  })
  process.stdin.resume().on('close', () => process.exit())
}
