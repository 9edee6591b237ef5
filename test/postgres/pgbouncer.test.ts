/** PgBouncer lets clients through to the server that it stands before. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.ts'
import { startServer, withoutServer } from './server.ts'

const skip = withoutServer() || withoutPgBouncer()

test('PgBouncer asks for a password, and is gone in the end', { skip }, async () => {
  using server = startServer({ fsync: false })
  const bouncer = startPgBouncer(server)
  const { hostname, port } = new URL(bouncer.url())
  const socket = net.connect(Number(port), hostname)
  const body = `\0\u0003\0\0user\0${server.user}\0database\0postgres\0\0`
  socket.write(`\0\0\0${String.fromCharCode(4 + body.length)}${body}`, 'latin1')
  const [answer]: unknown[] = await once(socket, 'data')
  assert.match(String(answer), /^R.*SCRAM-SHA-256/s)
  bouncer[Symbol.dispose]()
  const refused = net.connect(Number(port), hostname)
  await assert.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' })
})
