/**
 * The network in memory keeps what the bus relies on: keys, order, back-pressure, and an end to
 * whatever waits.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Connection,
  MeshClosedError,
  PeerClosedError,
  type Stream,
  UnreachableError,
} from 'agent-store/mesh'
import { MemoryNetwork } from 'agent-store/testing'
import { KEYS } from '../mesh/support.ts'
import { defined, noise } from '../support.ts'

const signal = new AbortController().signal
const A = KEYS.agentA.publicKey
const B = KEYS.agentB.publicKey

/** Two ends, connected, with a stream that A opened. */
async function pair(): Promise<{
  ends: Record<'a' | 'b', ReturnType<MemoryNetwork['bind']>>
  there: Connection
  here: Connection
  open: () => Promise<[Stream, Stream]>
}> {
  const network = new MemoryNetwork()
  const ends = { a: network.bind(A), b: network.bind(B) }
  const here = await ends.a.dial({ publicKey: B, addresses: [] }, signal)
  const there = defined(await ends.b.accept())
  const open = async (): Promise<[Stream, Stream]> => {
    const mine = await here.openStream()
    await mine.write(new Uint8Array([1]))
    const theirs = defined(await there.acceptStream())
    assert.deepEqual(await theirs.read(), new Uint8Array([1]))
    return [mine, theirs]
  }
  return { ends, here, there, open }
}

test('each end knows the key of the other', async () => {
  const { here, there } = await pair()
  assert.deepEqual(here.remoteKey, B)
  assert.deepEqual(there.remoteKey, A)
})

test('nobody is found under a key that nobody bound, one has closed, or is one’s own', async () => {
  const { ends } = await pair()
  const dial = (publicKey: Uint8Array) => ends.a.dial({ publicKey, addresses: [] }, signal)
  await assert.rejects(dial(KEYS.delegateD.publicKey), UnreachableError)
  await assert.rejects(dial(A), UnreachableError)
  await ends.b.close()
  await assert.rejects(dial(B), UnreachableError)
  await ends.a.close()
  await assert.rejects(dial(B), MeshClosedError)
})

test('a key is bound once at a time', async () => {
  const network = new MemoryNetwork()
  const first = network.bind(A)
  assert.throws(() => network.bind(A), /^RangeError: publicKey is bound already/)
  await first.close()
  await network.bind(A).close()
})

test('a writer is held back when its reader is slow, and everything comes in order', async () => {
  const { open } = await pair()
  const [mine, theirs] = await open()
  const bytes = noise(300_000, 1)
  let isWritten = false
  const writing = mine.write(bytes).then(() => {
    isWritten = true
    return mine.finish()
  })
  await new Promise((done) => setTimeout(done, 10))
  assert.equal(isWritten, false)
  const chunks: Uint8Array[] = []
  for (let chunk = await theirs.read(); chunk !== undefined; chunk = await theirs.read()) {
    chunks.push(chunk)
  }
  await writing
  assert.deepEqual(new Uint8Array(Buffer.concat(chunks)), bytes)
})

test('a stream that is abandoned ends for the other; what was sent before is read', async () => {
  const { open } = await pair()
  const [mine, theirs] = await open()
  await mine.write(new Uint8Array([2]))
  await mine.abandon()
  assert.deepEqual(await theirs.read(), new Uint8Array([2]))
  assert.equal(await theirs.read(), undefined)
  await assert.rejects(theirs.write(new Uint8Array([3])), PeerClosedError)
})

test('closing ends whatever waits: reads, writes, and those who accept', async () => {
  for (const close of ['connection', 'transport'] as const) {
    const { ends, here, there, open } = await pair()
    const [mine] = await open()
    const failing = [
      assert.rejects(mine.read(), PeerClosedError),
      assert.rejects(mine.write(new Uint8Array(200_000)), PeerClosedError),
    ]
    const accepting = [here.acceptStream(), there.acceptStream()]
    if (close === 'connection') here.close()
    else await ends.a.close()
    await Promise.all(failing)
    await assert.rejects(mine.finish(), PeerClosedError)
    assert.deepEqual(await Promise.all(accepting), [undefined, undefined])
    await assert.rejects(here.openStream(), PeerClosedError)
    await assert.rejects(there.openStream(), PeerClosedError)
  }
})
