/**
 * Publish and subscribe, ask and answer, between agents of one user on a network in memory.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fingerprint } from 'agent-store'
import {
  BacklogError,
  type Delivery,
  Envelope,
  KeyPair,
  MeshBus,
  MeshClosedError,
  MeshError,
  MeshTimeoutError,
  PeerList,
  UnreachableError,
} from 'agent-store/mesh'
import { MemoryNetwork } from 'agent-store/testing'
import { encodeBusMessage } from '../../src/mesh/bus-message.ts'
import { uncaught, utf8 } from '../support.ts'
import { notedBus, RawPeer } from './memory-peer.ts'
import { agentOf, KEYS } from './support.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Resolves with the first `count` that `subscribe` is told. */
function first(bus: MeshBus, topic: Parameters<MeshBus['subscribe']>[0], count: number) {
  const { promise, resolve } = Promise.withResolvers<Delivery[]>()
  const seen: Delivery[] = []
  bus.subscribe(topic, (delivery) => {
    seen.push(delivery)
    if (seen.length === count) resolve(seen)
  })
  return promise
}

test('what is published reaches the subscriber, with its sender', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const told = first(b.bus, 'news', 2)
  await a.bus.publish(b.bus.peer, 'news', 'one')
  await a.bus.publish(b.bus.peer, 'other news', 'nobody listens')
  await a.bus.publish(b.bus.peer, 'news', new Uint8Array([0, 255]))
  const [one, two] = await told
  assert.equal(text(one?.body ?? new Uint8Array()), 'one')
  assert.deepEqual(two?.body, new Uint8Array([0, 255]))
  assert.equal(one?.topic, 'news')
  assert.ok(one?.sender.equals(KEYS.agentA.fingerprint))
  assert.equal(one?.certificate.metadata.role, 'worker')
  assert.deepEqual([one?.sequence, two?.sequence], [1n, 3n])
  assert.deepEqual(b.refused, [])
})

for (const keepConnections of [false, true]) {
  const how = keepConnections ? 'a kept connection' : 'a connection for each'
  test(`200 messages each way at once over ${how}: none lost, order kept`, async (t) => {
    const network = new MemoryNetwork()
    const a = notedBus(t, network, agentOf(KEYS.agentA), { keepConnections })
    const b = notedBus(t, network, agentOf(KEYS.agentB), { keepConnections })
    const bodies = Array.from({ length: 200 }, (_, i) => `message ${i}`)
    const told = [first(a.bus, 'x', 200), first(b.bus, 'x', 200)]
    await Promise.all(
      bodies.flatMap((body) => [
        a.bus.publish(b.bus.peer, 'x', body),
        b.bus.publish(a.bus.peer, 'x', body),
      ]),
    )
    for (const deliveries of await Promise.all(told)) {
      assert.deepEqual(
        deliveries.map(({ body }) => text(body)),
        bodies,
      )
    }
    assert.deepEqual([...a.refused, ...b.refused], [])
  })
}

test('a subscription by prefix is told of every topic under it, and of no other', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const told = first(b.bus, { prefix: 'bell/' }, 3)
  for (const topic of ['bell/', 'bell', 'a bell/x', 'bell/notes', 'bell/a:b/c']) {
    await a.bus.publish(b.bus.peer, topic, '')
  }
  assert.deepEqual(
    (await told).map(({ topic }) => topic),
    ['bell/', 'bell/notes', 'bell/a:b/c'],
  )
})

test('a subscriber that left is told nothing, and one may come and go in a call', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const calls: string[] = []
  const off = b.bus.subscribe('x', () => {
    calls.push('once')
    off()
    b.bus.subscribe('x', () => void calls.push('later'))
  })
  await a.bus.publish(b.bus.peer, 'x', '')
  const told = first(b.bus, 'end', 1)
  await a.bus.publish(b.bus.peer, 'x', '')
  await a.bus.publish(b.bus.peer, 'end', '')
  await told
  off()
  assert.deepEqual(calls, ['once', 'later'])
})

test('a subscriber that throws stops neither the others nor the bus', async (t) => {
  const network = new MemoryNetwork()
  const errors: unknown[] = []
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB), { onError: (error) => errors.push(error) })
  b.bus.subscribe('x', () => {
    throw new Error('now')
  })
  b.bus.subscribe('x', async () => {
    throw new Error('soon')
  })
  const told = first(b.bus, 'x', 2)
  await a.bus.publish(b.bus.peer, 'x', '')
  await a.bus.publish(b.bus.peer, 'x', '')
  assert.equal((await told).length, 2)
  assert.deepEqual(errors.filter((error) => String(error) === 'Error: now').length, 2)
  assert.deepEqual(errors.filter((error) => String(error) === 'Error: soon').length, 2)
})

test('a subscriber that throws where nobody listens for it is an uncaught exception', async (t) => {
  const network = new MemoryNetwork()
  const caught = uncaught(t)
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const c = notedBus(t, network, agentOf(KEYS.delegateD), {
    onError: (error) => {
      throw new Error('from the listener', { cause: error })
    },
  })
  for (const { bus } of [b, c]) {
    bus.subscribe('x', () => {
      throw new Error('from the subscriber')
    })
  }
  for (const [n, { bus }] of [b, c].entries()) {
    await a.bus.publish(bus.peer, 'x', '')
    while (caught.length <= n) await new Promise((done) => setImmediate(done))
  }
  assert.deepEqual(caught.map(String), ['Error: from the subscriber', 'Error: from the listener'])
})

test('what fails after a bus was closed is nobody’s error', async (t) => {
  const network = new MemoryNetwork()
  const errors: unknown[] = []
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB), { onError: (error) => errors.push(error) })
  const { promise: gone, resolve: go } = Promise.withResolvers<void>()
  const { promise: called, resolve: onCall } = Promise.withResolvers<void>()
  b.bus.handle('late', async () => {
    onCall()
    await gone
    throw new Error('too late')
  })
  const asked = assert.rejects(a.bus.request(b.bus.peer, 'late', '', 1_000), MeshClosedError)
  await called
  await b.bus.close()
  go()
  await new Promise((done) => setImmediate(done))
  await a.bus.close()
  await asked
  assert.deepEqual(errors, [])
})

test('a subscriber that another one takes off is not told what came for both', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const told = first(b.bus, 'end', 1)
  b.bus.subscribe('x', () => off())
  const off = b.bus.subscribe('x', () => assert.fail('it was taken off'))
  await a.bus.publish(b.bus.peer, 'x', '')
  await a.bus.publish(b.bus.peer, 'end', '')
  await told
})

test('a slow subscriber loses the oldest and is told how many; others are not held up', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const { promise: freed, resolve: free } = Promise.withResolvers<void>()
  const { promise: done, resolve: finish } = Promise.withResolvers<void>()
  const seen: [string, number][] = []
  b.bus.subscribe('x', async ({ body }, missed) => {
    seen.push([text(body), missed])
    if (seen.length === 65) finish()
    await freed
  })
  const told = first(b.bus, 'x', 100)
  for (let i = 0; i < 100; i++) await a.bus.publish(b.bus.peer, 'x', String(i))
  await told
  free()
  await done
  assert.deepEqual(seen.slice(0, 3), [
    ['0', 0],
    ['36', 35],
    ['37', 0],
  ])
  assert.deepEqual(seen.at(-1), ['99', 0])
})

test('a request is answered; the reply comes on the same connection', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  b.bus.handle('upper', ({ body, sender, topic }) => {
    assert.ok(sender.equals(KEYS.agentA.fingerprint))
    assert.equal(topic, 'upper')
    return utf8(text(body).toUpperCase())
  })
  const answers = await Promise.all(
    ['x', 'y', 'z'].map((body) => a.bus.request(b.bus.peer, 'upper', body)),
  )
  assert.deepEqual(answers.map(text), ['X', 'Y', 'Z'])
})

test('a reply comes by a new connection when the one of the request is gone', async (t) => {
  const network = new MemoryNetwork()
  const asker = new RawPeer(t, network, agentOf(KEYS.agentA))
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>()
  const { promise: gone, resolve: onGone } = Promise.withResolvers<void>()
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  b.bus.handle('echo', async ({ body }) => {
    onAsked()
    await gone
    return body
  })
  const connection = await asker.dial(b.bus.peer)
  const topic = `${KEYS.user.fingerprint}:echo`
  const correlation = new Uint8Array(16).fill(7)
  const payload = encodeBusMessage({ kind: 'request', topic, correlation, body: utf8('hi') })
  const recipient = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const
  await asker.sendEnvelope(
    connection,
    Envelope.seal(asker.agent, { recipient, sequence: 1n, payload }),
  )
  await asked
  connection.close()
  onGone()
  const back = await asker.accept()
  assert.deepEqual(back?.remoteKey, KEYS.agentB.publicKey)
})

for (const known of ['nowhere', 'where it was']) {
  test(`an asker that is gone, and known ${known}, is reported, and nothing is thrown`, async (t) => {
    const network = new MemoryNetwork()
    const asker = new RawPeer(t, network, agentOf(KEYS.agentA))
    const errors: unknown[] = []
    const b = notedBus(t, network, agentOf(KEYS.agentB), {
      onError: (error) => errors.push(error),
      peers: new PeerList(
        known === 'nowhere' ? [] : [{ publicKey: KEYS.agentA.publicKey, addresses: [] }],
      ),
    })
    const { promise: gone, resolve: onGone } = Promise.withResolvers<void>()
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>()
    b.bus.handle('echo', async ({ body }) => {
      onAsked()
      await gone
      return body
    })
    const topic = `${KEYS.user.fingerprint}:echo`
    const correlation = new Uint8Array(16)
    const payload = encodeBusMessage({ kind: 'request', topic, correlation, body: utf8('') })
    const recipient = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const
    const request = Envelope.seal(asker.agent, { recipient, sequence: 1n, payload })
    await asker.sendEnvelope(await asker.dial(b.bus.peer), request)
    await asked
    await asker.close()
    onGone()
    await b.refusals(1)
    assert.deepEqual(b.refused, ['MESH_UNREACHABLE'])
    assert.deepEqual(errors, [])
  })
}

test('a request that nobody answers ends in time', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB), { onError: () => {} })
  b.bus.handle('fails', () => {
    throw new Error('no')
  })
  for (const topic of ['nobody', 'fails']) {
    const error = await a.bus.request(b.bus.peer, topic, '', 50).catch((e: unknown) => e)
    assert.ok(error instanceof MeshTimeoutError)
    assert.deepEqual([error.step, error.timeoutMs], ['the reply', 50])
  }
})

test('a peer is found by its fingerprint', async (t) => {
  const network = new MemoryNetwork()
  const peers = new PeerList()
  const a = notedBus(t, network, agentOf(KEYS.agentA), { peers })
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const { fingerprint } = KEYS.agentB
  await assert.rejects(a.bus.publish(fingerprint, 'x', ''), UnreachableError)
  peers.add(b.bus.peer)
  const told = first(b.bus, 'x', 1)
  await a.bus.publish(fingerprint, 'x', '')
  await told
})

test('a search that does not end is given up', async (t) => {
  let given: AbortSignal | undefined
  const peers = {
    resolve: (_: Fingerprint, signal: AbortSignal) => {
      given = signal
      return new Promise<never>(() => {})
    },
    list: () => [],
  }
  const limits = { resolveTimeoutMs: 20 }
  const a = notedBus(t, new MemoryNetwork(), agentOf(KEYS.agentA), { peers, limits })
  await assert.rejects(a.bus.publish(KEYS.agentB.fingerprint, 'x', ''), UnreachableError)
  assert.equal(given?.aborted, true)
})

test('a search that fails says why', async (t) => {
  const peers = { resolve: () => Promise.reject(new Error('no directory')), list: () => [] }
  const a = notedBus(t, new MemoryNetwork(), agentOf(KEYS.agentA), { peers })
  await assert.rejects(a.bus.publish(KEYS.agentB.fingerprint, 'x', ''), { message: 'no directory' })
})

test('an agent of another user is told so, and nothing of ours reaches it', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB, KEYS.otherUser))
  b.bus.subscribe('x', () => assert.fail('a stranger was told'))
  const error = await a.bus.publish(b.bus.peer, 'x', 'secret').catch((e: unknown) => e)
  assert.ok(error instanceof MeshError)
  assert.equal(error.code, 'MESH_DIFFERENT_USER')
  assert.match(error.message, /refused us/)
  await b.refusals(1)
  assert.deepEqual(b.refused, ['MESH_DIFFERENT_USER'])
})

test('a body that no envelope holds is refused here', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const tooLarge = new Uint8Array(2_000_000).fill(200)
  await assert.rejects(a.bus.publish(b.bus.peer, 'x', tooLarge), { code: 'MESH_FRAME' })
  const told = first(b.bus, 'x', 1)
  await a.bus.publish(b.bus.peer, 'x', 'small')
  await told
})

test('a peer that is gone is unreachable, and nobody answers for another', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const nobody = { publicKey: KEYS.delegateD.publicKey, addresses: ['memory:x'] }
  await assert.rejects(a.bus.publish(nobody, 'x', ''), UnreachableError)
  await assert.rejects(a.bus.publish(a.bus.peer, 'x', ''), UnreachableError)
})

test('a kept connection that died is replaced, once, without loss', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA), { keepConnections: true })
  const before = notedBus(t, network, agentOf(KEYS.agentB))
  const told = first(before.bus, 'x', 1)
  await a.bus.publish(before.bus.peer, 'x', '')
  await told
  await before.bus.close()
  const after = notedBus(t, network, agentOf(KEYS.agentB))
  const again = first(after.bus, 'x', 1)
  await a.bus.publish(after.bus.peer, 'x', '')
  await again
})

test('more peers than connections are kept for are reached again and again', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA), { keepConnections: true })
  const others = Array.from({ length: 66 }, () =>
    notedBus(t, network, agentOf(KeyPair.generate()), { keepConnections: true }),
  )
  const told = others.map(({ bus }) => first(bus, 'x', 2))
  for (const round of ['one', 'two']) {
    for (const { bus } of others) await a.bus.publish(bus.peer, 'x', round)
  }
  for (const deliveries of await Promise.all(told)) {
    assert.deepEqual(
      deliveries.map(({ body }) => text(body)),
      ['one', 'two'],
    )
  }
})

test('a peer that stalls fills its own queue only, and each message ends in time', async (t) => {
  const network = new MemoryNetwork()
  const limits = { handshakeTimeoutMs: 50, maxBacklog: 3 }
  const a = notedBus(t, network, agentOf(KEYS.agentA), { limits })
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const stalled = new RawPeer(t, network, agentOf(KEYS.delegateD))
  const peer = { publicKey: stalled.agent.key.publicKey, addresses: [] }
  const sends = [1, 2, 3, 4, 5].map(() => a.bus.publish(peer, 'x', '').catch((e: unknown) => e))
  const told = first(b.bus, 'x', 1)
  await a.bus.publish(b.bus.peer, 'x', '')
  await told
  const names = (await Promise.all(sends)).map((error) => (error as Error).name)
  assert.deepEqual(names, [
    'MeshTimeoutError',
    'MeshTimeoutError',
    'MeshTimeoutError',
    'BacklogError',
    'BacklogError',
  ])
  assert.equal(BacklogError.name, 'BacklogError')
})

test('a closed bus fails what is under way, and everything after', async (t) => {
  const network = new MemoryNetwork()
  const a = notedBus(t, network, agentOf(KEYS.agentA))
  const b = notedBus(t, network, agentOf(KEYS.agentB))
  const stalled = new RawPeer(t, network, agentOf(KEYS.delegateD))
  b.bus.handle('never', () => new Promise<never>(() => {}))
  const peer = { publicKey: stalled.agent.key.publicKey, addresses: [] }
  const underWay = [
    a.bus.publish(peer, 'x', ''),
    a.bus.publish(peer, 'x', 'waits'),
    a.bus.request(b.bus.peer, 'never', ''),
  ]
  const failures = underWay.map((work) => assert.rejects(work, MeshClosedError))
  await new Promise((done) => setTimeout(done, 20))
  await a.bus.close()
  await a.bus.close()
  await Promise.all(failures)
  await assert.rejects(a.bus.publish(b.bus.peer, 'x', ''), MeshClosedError)
  await assert.rejects(a.bus.request(b.bus.peer, 'x', ''), MeshClosedError)
})

test('the transport must have the key of the agent', () => {
  const transport = new MemoryNetwork().bind(KEYS.agentB.publicKey)
  assert.throws(() => MeshBus.bind({ agent: agentOf(KEYS.agentA), transport }), {
    code: 'MESH_BAD_SIGNATURE',
  })
})

test('wrong arguments are named', async (t) => {
  const { bus } = notedBus(t, new MemoryNetwork(), agentOf(KEYS.agentA))
  const wrong = JSON.parse('{}')
  assert.throws(() => bus.subscribe('x', wrong), /^TypeError: subscriber must be a function/)
  assert.throws(() => bus.handle('x', wrong), /^TypeError: handler must be a function/)
  assert.throws(() => bus.subscribe('\ud800', () => {}), /^TypeError: topic name/)
  const transport = new MemoryNetwork().bind(KEYS.agentA.publicKey)
  const agent = agentOf(KEYS.agentA)
  for (const [limits, message] of [
    [{ maxBacklog: wrong }, /^TypeError: limits.maxBacklog must be a number/],
    [{ maxBacklog: 0 }, /limits.maxBacklog must be a whole number from 1/],
    [{ maxEnvelopeBytes: 2 ** 25 }, /limits.maxEnvelopeBytes must be .* to 16777216/],
  ] as const) {
    assert.throws(() => MeshBus.bind({ agent, transport, limits }), message)
  }
  for (const firstSequence of [-1n, 0n, 2n ** 64n]) {
    assert.throws(() => MeshBus.bind({ agent, transport, firstSequence }), /^RangeError: firstSeq/)
  }
  assert.throws(
    () => MeshBus.bind({ agent, transport, firstSequence: wrong }),
    /^TypeError: firstSequence must be a bigint/,
  )
  const body = { message: 'body must be a Uint8Array or a string, got object' }
  await assert.rejects(bus.publish(KEYS.agentB.fingerprint, 'x', wrong), body)
  await assert.rejects(bus.request(KEYS.agentB.fingerprint, 'x', wrong), body)
})
