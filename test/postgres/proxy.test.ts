/** The proxy does what it is asked: seen from a client and a server of four-line replies. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Fault, type Plan, startProxy } from './proxy.ts'

const READY = Buffer.from([...Buffer.from('Z'), 0, 0, 0, 5, ...Buffer.from('I')])

/** A server that says it is ready and then answers all it hears by one message, in two pieces. */
async function listen(t: TestContext): Promise<{ port: number; heard: string[] }> {
  const heard: string[] = []
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write(READY)
    socket.on('data', (chunk) => {
      heard.push(chunk.toString())
      socket.write(Buffer.from([...Buffer.from('D'), 0, 0, 0, 8, ...Buffer.from('re')]))
      setImmediate(() => socket.write(Buffer.concat([Buffer.from('al'), READY])))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return { port: address.port, heard }
}

/** Connect, send the requests one after the other, and say what came back to each. */
async function converse(port: number, ...requests: string[]): Promise<(string | null)[]> {
  const socket = net.connect(port, '127.0.0.1')
  let received = ''
  let ended = false
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1')
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    ended = true
  })
  const turn = async () => {
    const start = performance.now()
    while (!ended && !received.endsWith('I') && performance.now() - start < 300) {
      await new Promise((done) => setTimeout(done, 2))
    }
    const reply = received
    received = ''
    return ended ? `${reply}|` : reply === '' ? null : reply
  }
  await turn()
  const replies: (string | null)[] = []
  for (const request of requests) {
    if (ended) break
    socket.write(request)
    replies.push(await turn())
  }
  socket.destroy()
  return replies
}

const DATA = 'D\0\0\0\u0008real'
const REPLY = `${DATA}${READY.toString('latin1')}`

const cases: { plan: Plan; replies: (string | null)[]; heard: number; faults: number }[] = [
  { plan: { fault: { kind: 'pass' } }, replies: [REPLY, REPLY, REPLY], heard: 3, faults: 0 },
  { plan: { fault: { kind: 'swallow' }, nth: 2 }, replies: [REPLY, '|'], heard: 2, faults: 1 },
  { plan: { fault: { kind: 'lose' }, everyNth: 2 }, replies: [REPLY, '|'], heard: 1, faults: 1 },
  {
    plan: { fault: { kind: 'cut', afterBytes: 9 }, containing: 'three' },
    replies: [REPLY, REPLY, `${DATA}|`],
    heard: 3,
    faults: 1,
  },
  {
    plan: { fault: { kind: 'cut', afterBytes: 9, reset: true }, nth: 1 },
    replies: [`${DATA}|`],
    heard: 1,
    faults: 1,
  },
  {
    plan: { fault: { kind: 'inject', hex: 'ff' }, nth: 2 },
    replies: [REPLY, `\u00ff${REPLY}`, REPLY],
    heard: 3,
    faults: 1,
  },
  {
    plan: { fault: { kind: 'silence', towards: 'client' }, nth: 2 },
    replies: [REPLY, null, null],
    heard: 3,
    faults: 2,
  },
  {
    plan: { fault: { kind: 'silence', towards: 'server' } },
    replies: [null, null, null],
    heard: 0,
    faults: 1,
  },
]

test('a fault befalls the exchanges that it is meant for', async (t) => {
  const { port, heard } = await listen(t)
  using proxy = startProxy(port)
  let faults = 0
  for (const expected of cases) {
    const name = JSON.stringify(expected.plan)
    proxy.set(expected.plan)
    heard.length = 0
    assert.deepEqual(await converse(proxy.port, 'one', 'two', 'three'), expected.replies, name)
    assert.equal(heard.length, expected.heard, name)
    faults += expected.faults
    assert.equal(proxy.faults(), faults, name)
  }
})

test('a delayed reply comes later, and what was held back comes in the end', async (t) => {
  const { port, heard } = await listen(t)
  const delay: Fault = { kind: 'delay', ms: 100 }
  using proxy = startProxy(port, { fault: delay, nth: 1 })
  const start = performance.now()
  assert.deepEqual(await converse(proxy.port, 'one', 'two'), [REPLY, REPLY])
  assert.ok(performance.now() - start >= 100)

  proxy.set({ fault: { kind: 'silence', towards: 'both' } })
  heard.length = 0
  const socket = net.connect(proxy.port, '127.0.0.1')
  socket.write('one')
  await new Promise((done) => setTimeout(done, 100))
  assert.deepEqual(heard, [])
  const data = once(socket, 'data')
  proxy.set({ fault: { kind: 'pass' } })
  await data
  socket.destroy()
})
