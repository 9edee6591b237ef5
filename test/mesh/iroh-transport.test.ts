/**
 * QUIC by iroh on loopback, between two processes; where `unshare` may be used, in a network of
 * their own, so that iroh's search for a router reaches nobody.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  Agent,
  IrohTransport,
  KeyPair,
  MeshBus,
  MeshClosedError,
  MeshTimeoutError,
  type Peer,
  PeerClosedError,
  parsePeer,
  readKeyFile,
  TransportError,
  UnreachableError,
  writeKeyFile,
} from 'agent-store/mesh'
import { temporaryFile } from '../support.ts'
import { isInside, runInside, withoutNetwork } from './own-network.ts'
import { withoutIroh as skip } from './support.ts'

const LISTEN = ['127.0.0.1:0', '[::1]:0']

const SETUP = 'ip link set lo up'

if (skip === false && !isInside && withoutNetwork(SETUP) === false) {
  test('in a network of its own', (t) => {
    const { status, report } = runInside(import.meta.filename, SETUP)
    for (const [line] of report.matchAll(/^ok .*$/gm)) t.diagnostic(line)
    assert.equal(status, 0, report)
    assert.match(report, /^# pass [1-9]/m)
  })
} else {
  test('messages and requests between two processes', { skip }, async (t) => {
    const { bus, child, peer } = await twoProcesses(t)
    const told: unknown[] = []
    const all = new Promise<void>((done) => {
      child.on('message', (message) => {
        told.push(message)
        if (told.length === 50) done()
      })
    })
    const sender = bus.agent.fingerprint.toHex()
    for (let i = 0; i < 50; i++) await bus.publish(peer, 'news', `message ${i}`)
    await all
    assert.deepEqual(
      told,
      told.map((_, i) => ({ body: `message ${i}`, sender })),
    )
    const large = new Uint8Array(100_000).fill(7)
    assert.deepEqual(await bus.request(peer, 'echo', large), large)
  })

  test('many streams on one kept connection', { skip }, async (t) => {
    const { bus, peer } = await twoProcesses(t, true)
    // More than the hundred that may be open at once, none of which waits for a collector.
    for (let i = 0; i < 300; i++) await bus.publish(peer, 'other', '')
  })

  test('a peer that is killed is given up in time, and another is reached', { skip }, async (t) => {
    const { bus, child, peer, keyFile } = await twoProcesses(t)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await assert.rejects(bus.publish(peer, 'news', ''), MeshTimeoutError)
    const other = await startChild(t, keyFile)
    await bus.publish(other.peer, 'news', '')
  })

  test('a stream ends where it was finished; what is gone is a typed error', {
    skip,
  }, async (t) => {
    const [here, there] = await Promise.all([
      IrohTransport.bind(KeyPair.generate(), { listen: LISTEN }),
      IrohTransport.bind(KeyPair.generate(), { listen: LISTEN }),
    ])
    t.after(() => Promise.all([here.close(), there.close()]))
    const dialed = here.dial(there, new AbortController().signal)
    const [mine, theirs] = await Promise.all([dialed, there.accept()])
    assert.ok(theirs)
    assert.deepEqual(theirs.remoteKey, here.publicKey)
    assert.match(theirs.remoteAddress ?? '', /^127\.0\.0\.1:\d+$/)

    const large = new Uint8Array(100_000).fill(7)
    const sending = await mine.openStream()
    const writing = sending.write(large).then(() => sending.finish())
    const receiving = await theirs.acceptStream()
    const chunks: Uint8Array[] = []
    for (let chunk = await receiving?.read(); chunk !== undefined; chunk = await receiving?.read())
      chunks.push(chunk)
    assert.deepEqual(new Uint8Array(Buffer.concat(chunks)), large)
    await writing

    const stream = await mine.openStream()
    await stream.write(large.subarray(0, 1))
    const reading = assert.rejects(stream.read(), PeerClosedError)
    const accepting = mine.acceptStream()
    theirs.close()
    await reading
    assert.equal(await accepting, undefined)
    await assert.rejects(stream.write(large), /^PeerClosedError: the connection is gone: /)
    await assert.rejects(mine.openStream(), PeerClosedError)
    await stream.abandon()
  })

  test('whoever does not hold the key that was dialed is not spoken to', { skip }, async (t) => {
    const { bus, peer } = await twoProcesses(t)
    const impostor = { publicKey: KeyPair.generate().publicKey, addresses: peer.addresses }
    await assert.rejects(bus.publish(impostor, 'news', ''), UnreachableError)
    const nowhere = { ...peer, addresses: ['no address'] }
    await assert.rejects(bus.publish(nowhere, 'news', ''), UnreachableError)
    const noKey = { ...peer, publicKey: new Uint8Array(32).fill(2) }
    await assert.rejects(bus.publish(noKey, 'news', ''), /UnreachableError: no address to dial/)
  })

  test('a closed end accepts and dials no more; an address that is taken is named', {
    skip,
  }, async () => {
    const key = KeyPair.generate()
    const one = await IrohTransport.bind(key, { listen: LISTEN })
    const [address = ''] = one.addresses
    assert.match(address, /^127\.0\.0\.1:\d+$/)
    const other = IrohTransport.bind(KeyPair.generate(), { listen: [address] })
    await assert.rejects(other, TransportError)
    const accepting = one.accept()
    await one.close()
    await one.close()
    assert.equal(await accepting, undefined)
    const signal = new AbortController().signal
    await assert.rejects(
      one.dial({ publicKey: key.publicKey, addresses: [] }, signal),
      MeshClosedError,
    )
  })
}

/** A bus here and a process with another, of one user. */
async function twoProcesses(
  t: TestContext,
  keepConnections = false,
): Promise<{ bus: MeshBus; child: ChildProcess; peer: Peer; keyFile: string }> {
  const keyFile = temporaryFile(t)
  writeKeyFile(keyFile, KeyPair.generate())
  const agent = Agent.issue(readKeyFile(keyFile), { role: 'parent' })
  const transport = await IrohTransport.bind(agent.key, { listen: LISTEN })
  const limits = { dialTimeoutMs: 1_000, handshakeTimeoutMs: 1_000 }
  const bus = MeshBus.bind({ agent, transport, keepConnections, limits })
  t.after(() => bus.close())
  return { bus, keyFile, ...(await startChild(t, keyFile)) }
}

async function startChild(
  t: TestContext,
  keyFile: string,
): Promise<{ child: ChildProcess; peer: Peer }> {
  const child = fork(join(import.meta.dirname, 'iroh-process.ts'), [keyFile])
  t.after(() => child.kill('SIGKILL'))
  const [{ peer }] = await once(child, 'message')
  return { child, peer: parsePeer(peer) }
}
