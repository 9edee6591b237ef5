/**
 * The doorbell over the mesh: what is committed here wakes who follows there, strangers wake
 * nobody, and a peer that stalls or is gone delays nobody.
 */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CommitEvent, Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { ForkError, follow } from 'agent-store/follow'
import {
  type Agent,
  doorbellTopic,
  MeshBell,
  type MeshBellOptions,
  type MeshError,
  type Peer,
} from 'agent-store/mesh'
import { MemoryNetwork } from 'agent-store/testing'
import { encodeBell } from '../../src/mesh/doorbell-message.ts'
import { temporaryFile, utf8 } from '../support.ts'
import { notedBus, RawPeer } from './memory-peer.ts'
import { agentOf, KEYS } from './support.ts'

const EVENT: CommitEvent = { stream: 's', writer: 'w', seq: 1n, contentHash: new Uint8Array(32) }

/** An agent with a bell, and what it hears. */
function place(
  t: TestContext,
  network: MemoryNetwork,
  agent: Agent,
  options: MeshBellOptions = {},
) {
  const noted = notedBus(t, network, agent, { keepConnections: true })
  const unreached: MeshError[] = []
  const rejected: string[] = []
  const bell = new MeshBell(noted.bus, {
    onUnreached: (error) => unreached.push(error),
    onRejected: ({ code }) => rejected.push(code),
    ...options,
  })
  t.after(() => bell.close())
  const heard: (CommitEvent | undefined)[] = []
  bell.subscribe((event) => heard.push(event))
  return { ...noted, bell, heard, unreached, rejected, peer: noted.bus.peer }
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 1_000, 'waited in vain')
    await sleep(5)
  }
}

test('a commit of one agent wakes another that follows the same store', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  const file = temporaryFile(t)
  using db = SqliteBackend.open(file)
  WriterLog.ensureSchema(db)
  const local = new Doorbell()
  local.tie(db)
  local.subscribe((event) => here.bell.ring(event))
  // Its own file tells this follower nothing.
  const connection = new DatabaseSync(file, { timeout: 1_000 })
  using far = SqliteBackend.fromConnection(connection)
  const following = follow(far, { bells: [there.bell], pollMs: 60_000 })
  for (let i = 1; i <= 5; i++) {
    const waiting = following.next()
    await sleep(5)
    WriterLog.append(db, 's', 'w', `${i}`)
    assert.equal((await waiting).value?.seq, BigInt(i))
  }
  await following.return()
  connection.close()
})

test('while a peer is being told, only the newest of each log waits, and none is told again', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  for (let seq = 1n; seq <= 1_000n; seq++) {
    for (const writer of ['a', 'b']) here.bell.ring({ ...EVENT, writer, seq })
  }
  await until(() => there.heard.length >= 3)
  await sleep(50)
  assert.ok(there.heard.length <= 4, `${there.heard.length} rings`)
  for (const writer of ['a', 'b']) {
    const seqs = there.heard.filter((event) => event?.writer === writer).map((event) => event?.seq)
    assert.equal(seqs.at(-1), 1_000n)
  }
  assert.deepEqual(here.heard, [])
})

test('of very many logs, a peer that is slow is told of the newest', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  for (let n = 0; n < 1_100; n++) here.bell.ring({ ...EVENT, stream: `s${n}` })
  await here.bell.idle()
  const streams = there.heard.map((event) => event?.stream)
  assert.deepEqual([streams.length, streams[0], streams[1]], [1_025, 's0', 's76'])
  assert.equal(streams.at(-1), 's1099')
})

test('no echo: what is heard is not told to others', async (t) => {
  const network = new MemoryNetwork()
  const third = place(t, network, agentOf(KEYS.delegateD))
  const there = place(t, network, agentOf(KEYS.agentB), { peers: [third.peer] })
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  here.bell.ring(EVENT)
  await until(() => there.heard.length === 1)
  await sleep(30)
  assert.deepEqual(third.heard, [])
})

test('of the streams that are asked for; the peers as they are at each ring', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB), { streams: ['s'] })
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  here.bell.ring({ ...EVENT, stream: 'another' })
  here.bell.ring({ ...EVENT, stream: 'st' })
  here.bell.ring(EVENT)
  await until(() => there.heard.length === 1)
  await sleep(20)
  assert.deepEqual(there.heard, [EVENT])
})

test('a peer that is gone is reported; one that stalls delays nobody', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  // It accepts connections, and never says a word.
  const stalling = agentOf(KEYS.delegateD)
  new RawPeer(t, network, stalling)
  const stalled: Peer = { publicKey: stalling.key.publicKey, addresses: ['memory'] }
  const gone: Peer = { publicKey: KEYS.otherUser.publicKey, addresses: ['nowhere'] }
  const here = place(t, network, agentOf(KEYS.agentA), {
    peers: [gone, stalled, there.peer],
  })
  for (let seq = 1n; seq <= 20n; seq++) {
    here.bell.ring({ ...EVENT, seq })
    await sleep(2)
  }
  await until(() => there.heard.at(-1)?.seq === 20n)
  assert.ok(here.unreached.length > 0)
  for (const { code } of here.unreached) assert.equal(code, 'MESH_UNREACHABLE')
})

test('a stranger rings nobody', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const stranger = place(t, network, agentOf(KEYS.delegateD, KEYS.otherUser), {
    peers: [there.peer],
  })
  stranger.bell.ring(EVENT)
  await until(() => stranger.unreached.length === 1)
  assert.equal(stranger.unreached[0]?.code, 'MESH_DIFFERENT_USER')
  await sleep(20)
  assert.deepEqual(there.heard, [])
})

test('what is no bell is reported, and rings nobody', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA))
  await here.bus.publish(there.peer, doorbellTopic('s'), 'ding')
  await here.bus.publish(there.peer, doorbellTopic('s'), encodeBell({ ...EVENT, stream: 't' }))
  await here.bus.publish(there.peer, doorbellTopic('s'), utf8('{"v":9}'))
  await until(() => there.rejected.length === 2)
  await sleep(20)
  assert.deepEqual(there.rejected, ['MESH_BAD_BELL', 'MESH_BAD_BELL'])
  assert.deepEqual(there.heard, [])
})

test('an announced entry that the store has otherwise is a fork', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  using db = SqliteBackend.open(temporaryFile(t))
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  const following = follow(db, { bells: [there.bell] })
  assert.equal((await following.next()).value?.seq, 1n)
  const waiting = following.next()
  const failed = assert.rejects(waiting, (error) => error instanceof ForkError)
  here.bell.ring({ ...EVENT, seq: 2n })
  await until(() => there.heard.length === 1)
  WriterLog.append(db, 's', 'w', 'two')
  await failed
})

test('names that the mesh cannot carry are refused; a closed bell neither tells nor hears', async (t) => {
  const network = new MemoryNetwork()
  const there = place(t, network, agentOf(KEYS.agentB))
  const here = place(t, network, agentOf(KEYS.agentA), { peers: [there.peer] })
  assert.throws(() => here.bell.ring({ ...EVENT, stream: 'x'.repeat(513) }), /512 bytes/)
  assert.throws(() => here.bell.ring({ ...EVENT, writer: 'x'.repeat(5_000) }), /4096 bytes/)
  there.bell.close()
  here.bell.ring(EVENT)
  await sleep(30)
  assert.deepEqual(there.heard, [])
  assert.deepEqual(here.unreached, [])
})
