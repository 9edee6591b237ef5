/** The servers that other tests rely on do start, and leave nothing behind. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import { startServer, withoutServer } from './server.ts'

const skip = withoutServer()

/** What a server says to a client that wants TLS: `S` or `N`. */
async function answerToSslRequest(port: number): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  const [answer]: unknown[] = await once(socket, 'data')
  socket.destroy()
  return String(answer)
}

test('a server comes back after stop and kill, and is gone in the end', { skip }, async () => {
  const server = startServer({ fsync: false })
  assert.equal(await answerToSslRequest(server.port), 'N')
  server.stop()
  await assert.rejects(answerToSslRequest(server.port), { code: 'ECONNREFUSED' })
  server.start()
  server.kill()
  await assert.rejects(answerToSslRequest(server.port), { code: 'ECONNREFUSED' })
  server.restart()
  assert.equal(await answerToSslRequest(server.port), 'N')
  server[Symbol.dispose]()
  await assert.rejects(answerToSslRequest(server.port), { code: 'ECONNREFUSED' })
  assert.ok(!fs.existsSync(server.folder))
})

test('nothing is left of a server whose owner is killed', { skip }, async () => {
  const owner = spawn(process.execPath, [
    '--input-type=module-typescript',
    '--eval',
    `import { startServer } from ${JSON.stringify(import.meta.resolve('./server.ts'))}
     const { port, folder } = startServer({ fsync: false })
     console.log(JSON.stringify({ port, folder }))
     setInterval(() => undefined, 1000)`,
  ])
  const [line]: unknown[] = await once(owner.stdout.setEncoding('utf8'), 'data')
  const { port, folder }: { port: number; folder: string } = JSON.parse(String(line))
  assert.equal(await answerToSslRequest(port), 'N')
  owner.kill('SIGKILL')
  while (fs.existsSync(folder)) await new Promise((done) => setTimeout(done, 20))
  await assert.rejects(answerToSslRequest(port), { code: 'ECONNREFUSED' })
})
