/**
 * Peers that lie, stall, flood and die: each is refused with a typed error, in bounded time and
 * memory, and none keeps the honest ones from being heard.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import {
  type Agent,
  Certificate,
  type Connection,
  Envelope,
  KeyPair,
  type MeshBus,
  MeshError,
  UNRESTRICTED,
} from 'agent-store/mesh'
import { MemoryNetwork } from 'agent-store/testing'
import { encodeBusMessage } from '../../src/mesh/bus-message.ts'
import { ENVELOPE_FRAME_BYTES, encodeFrame, HANDSHAKE_FRAME_BYTES } from '../../src/mesh/frame.ts'
import { FramedStream } from '../../src/mesh/framed-stream.ts'
import { helloFrame } from '../../src/mesh/handshake.ts'
import { defined, uncaught, utf8 } from '../support.ts'
import { type NotedBus, notedBus, RawPeer } from './memory-peer.ts'
import { agentOf, KEYS, METADATA } from './support.ts'

const WIRE = `${KEYS.user.fingerprint}:news`

interface Scene extends NotedBus {
  readonly network: MemoryNetwork
  readonly told: string[]
  readonly raw: RawPeer
}

/** A bus of agentB that listens, and agentA in the hands of the test. */
function scene(t: TestContext, limits = {}): Scene {
  const network = new MemoryNetwork()
  const noted = notedBus(t, network, agentOf(KEYS.agentB), { limits })
  const told: string[] = []
  noted.bus.subscribe('news', ({ body }) => void told.push(new TextDecoder().decode(body)))
  return { ...noted, network, told, raw: new RawPeer(t, network, agentOf(KEYS.agentA)) }
}

/** An honest agent is heard within a second, whatever happened before. */
async function stillHears(t: TestContext, { network, bus, told }: Scene): Promise<void> {
  const honest = notedBus(t, network, agentOf(KeyPair.generate()))
  const before = told.length
  await honest.bus.publish(bus.peer, 'news', 'honest')
  for (let i = 0; i < 100 && told.length === before; i++) {
    await new Promise((done) => setTimeout(done, 10))
  }
  assert.equal(told.at(-1), 'honest')
}

function envelope(agent: Agent, sequence: bigint, body = 'x'): Envelope {
  const payload = encodeBusMessage({ kind: 'publish', topic: WIRE, body: utf8(body) })
  const recipient = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const
  return Envelope.seal(agent, { recipient, sequence, payload })
}

/** Say these bytes instead of a greeting, and give the answer. */
async function greetWith(connection: Connection, bytes: Uint8Array) {
  const stream = new FramedStream(await connection.openStream())
  await stream.write(bytes)
  await stream.finish().catch(() => {})
  return stream.readFrame(HANDSHAKE_FRAME_BYTES)
}

const hello = (certificate: Certificate) => helloFrame(certificate)
const framed = (json: string) => encodeFrame(utf8(json), HANDSHAKE_FRAME_BYTES)

test('a certificate that is forged, limited, a stranger or somebody else is turned away', async (t) => {
  const here = scene(t)
  const limited = { ...UNRESTRICTED, validForGeneration: { only: [1n] } }
  const { publicKey } = KEYS.agentA
  const json = agentOf(KEYS.agentA).certificate.toJson()
  const cases: readonly (readonly [string, Uint8Array, string, string | undefined])[] = [
    [
      'another user',
      hello(agentOf(KEYS.agentA, KEYS.otherUser).certificate),
      'MESH_DIFFERENT_USER',
      'DifferentUser',
    ],
    [
      'another role',
      framed(`{"cert_chain":${json.replace('worker', 'admin')}}`),
      'MESH_BAD_CERT_CHAIN',
      'BadCertChain',
    ],
    [
      'generations',
      hello(Certificate.issue(KEYS.user, publicKey, { ...METADATA, caveats: limited })),
      'MESH_BAD_CERT_CHAIN',
      'BadCertChain',
    ],
    ['another key', hello(agentOf(KEYS.delegateD).certificate), 'MESH_HANDSHAKE', 'Other'],
    ['no certificate', framed('{}'), 'MESH_HANDSHAKE', undefined],
    ['no JSON', framed('\u0000\u0001'), 'MESH_HANDSHAKE', undefined],
    ['nothing', encodeFrame(new Uint8Array(), 1), 'MESH_HANDSHAKE', undefined],
    [
      'a frame cut short',
      hello(agentOf(KEYS.agentA).certificate).subarray(0, 100),
      'MESH_FRAME',
      undefined,
    ],
    ['a frame too large', new Uint8Array([0, 0, 0x40, 1, 0x7b]), 'MESH_FRAME', undefined],
    ['a length of 4 GiB', new Uint8Array([255, 255, 255, 255]), 'MESH_FRAME', undefined],
  ]
  for (const [name, bytes, code, reason] of cases) {
    const connection = await here.raw.dial(here.bus.peer)
    const answer = await greetWith(connection, bytes)
    const said = answer === undefined ? undefined : new TextDecoder().decode(answer)
    assert.equal(said, reason && `{"reason":"${reason}"}`, name)
    await here.refusals(here.refused.length || 1)
    while (here.refused.at(-1) !== code) await new Promise((done) => setImmediate(done))
    connection.close()
  }
  assert.equal(here.refused.length, cases.length)
  assert.deepEqual(here.told, [])
  await stillHears(t, here)
})

test('a chain that is too deep is turned away, as far as a handshake has room for it', async (t) => {
  const here = scene(t)
  let agent = agentOf(KEYS.agentA)
  while (agent.certificate.depth < 32) agent = agent.delegate({ role: '', host: '' })
  assert.throws(() => helloFrame(agent.certificate), { code: 'MESH_FRAME' })
  // Without spaces it still is too long; so are 33 levels, whatever the room.
  const deep = framed(`{"cert_chain":${'{"issuer":{"Agent":{"parent":'.repeat(400)}`)
  const connection = await here.raw.dial(here.bus.peer)
  assert.equal(await greetWith(connection, deep), undefined)
  await here.refusals(1)
  assert.deepEqual(here.refused, ['MESH_INVALID_CERT_CHAIN'])
  await stillHears(t, here)
})

test('an envelope that is forged, cut short or too large is refused; the next one is told', async (t) => {
  const here = scene(t, { maxEnvelopeBytes: 65_536 })
  const { agent } = here.raw
  const good = envelope(agent, 1n).toJson()
  const text = new TextDecoder().decode(good)
  const frame = (json: Uint8Array | string) =>
    encodeFrame(typeof json === 'string' ? utf8(json) : json, ENVELOPE_FRAME_BYTES)
  /** The first byte of a member is another one. */
  const flip = (name: string) =>
    text.replace(new RegExp(`"${name}":\\[(\\d+)`), (_, n) => `"${name}":[${Number(n) ^ 1}`)
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['payload', frame(flip('payload')), 'MESH_MALFORMED_ENVELOPE'],
    ['hash', frame(flip('payload_cid')), 'MESH_MALFORMED_ENVELOPE'],
    ['signature', frame(flip('agent_sig')), 'MESH_BAD_SIGNATURE'],
    ['certificate', frame(flip('issuer_sig')), 'MESH_BAD_SIGNATURE'],
    ['nonce', frame(flip('nonce')), 'MESH_BAD_SIGNATURE'],
    ['recipient', frame(flip('agent_fp')), 'MESH_BAD_SIGNATURE'],
    ['sequence', frame(text.replace('"sequence":1', '"sequence":2')), 'MESH_BAD_SIGNATURE'],
    ['cut in its frame', frame(good).subarray(0, 700), 'MESH_FRAME'],
    ['cut before it', new Uint8Array(), 'MESH_PEER_CLOSED'],
    ['cut in the JSON', frame(text.slice(0, 700)), 'MESH_ENCODING'],
    ['too large', frame(envelope(agent, 1n, 'x'.repeat(10_000)).toJson()), 'MESH_FRAME'],
    ['no envelope', frame('{"session":[]}'), 'MESH_ENCODING'],
  ]
  for (const [name, bytes, code] of cases) {
    const connection = await here.raw.dial(here.bus.peer)
    const before = here.refused.length
    // A receiver may hang up while the rest is still being written.
    await here.raw.sendBytes(connection, bytes).catch(() => {})
    await here.refusals(before + 1)
    assert.deepEqual(here.refused.slice(before), [code], name)
    connection.close()
  }
  assert.deepEqual(here.told, [])
  await here.raw.sendEnvelope(await here.raw.dial(here.bus.peer), Envelope.fromJson(good))
  await stillHears(t, here)
  assert.deepEqual(here.told, ['x', 'honest'])
})

test('a session stream of a newer peer is refused as one, and nothing is used up', async (t) => {
  const here = scene(t)
  const payload = utf8(`{"session":[${Array(16).fill(7)}],"kind":"open","topic":"${WIRE}"}`)
  const recipient = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const
  const open = Envelope.seal(here.raw.agent, { recipient, sequence: 0n, payload })
  await here.raw.sendEnvelope(await here.raw.dial(here.bus.peer), open)
  await here.refusals(1)
  assert.deepEqual(here.refused, ['MESH_BAD_SEQUENCE'])
  await stillHears(t, here)
})

for (const [name, begin] of [
  ['says nothing', async () => {}],
  ['opens a stream and says half a length', (s: FramedStream) => s.write(new Uint8Array([0, 0]))],
  [
    'stops inside its certificate',
    (s: FramedStream) => s.write(new Uint8Array([0, 0, 1, 0, 0x7b])),
  ],
  [
    'stops inside its envelope',
    async (s: FramedStream) => {
      await s.write(helloFrame(agentOf(KEYS.agentA).certificate))
      await s.readFrame(HANDSHAKE_FRAME_BYTES)
      await s.write(new Uint8Array([0, 255, 0, 0, 0x7b]))
    },
  ],
] as const) {
  test(`a peer that ${name} is given up in time`, async (t) => {
    const here = scene(t, { handshakeTimeoutMs: 60, envelopeTimeoutMs: 60 })
    const connection = await here.raw.dial(here.bus.peer)
    await begin(new FramedStream(await connection.openStream()))
    await stillHears(t, here)
    await here.refusals(1)
    assert.deepEqual(here.refused, ['MESH_TIMEOUT'])
    await assert.rejects(connection.openStream(), /closed/)
  })
}

test('a peer that hangs up before it has said who it is is refused', async (t) => {
  const here = scene(t)
  const connection = await here.raw.dial(here.bus.peer)
  await new FramedStream(await connection.openStream()).finish()
  await here.refusals(1)
  assert.match(String(here.errors[0]), /^MeshError: .* closed the stream without a word/)
})

test('one byte at a time is no way to stay', async (t) => {
  const here = scene(t, { handshakeTimeoutMs: 100 })
  const connection = await here.raw.dial(here.bus.peer)
  const stream = await connection.openStream()
  const dribble = (async () => {
    for (const byte of hello(here.raw.agent.certificate)) {
      await stream.write(new Uint8Array([byte]))
      await new Promise((done) => setTimeout(done, 5))
    }
  })()
  await assert.rejects(dribble, /closed/)
  assert.deepEqual(here.refused, ['MESH_TIMEOUT'])
})

test('a short envelope does not overtake a long one of the same sender', async (t) => {
  const here = scene(t, { envelopeTimeoutMs: 500 })
  const { agent } = here.raw
  const long = encodeFrame(envelope(agent, 1n, 'long').toJson(), ENVELOPE_FRAME_BYTES)
  const slow = new FramedStream(await (await here.raw.dial(here.bus.peer)).openStream())
  await slow.write(helloFrame(agent.certificate))
  await slow.readFrame(HANDSHAKE_FRAME_BYTES)
  await slow.write(long.subarray(0, 1_000))
  await here.raw.sendEnvelope(await here.raw.dial(here.bus.peer), envelope(agent, 2n, 'short'))
  await stillHears(t, here)
  assert.deepEqual(here.told, ['honest'])
  await slow.write(long.subarray(1_000))
  while (here.told.length < 3) await new Promise((done) => setImmediate(done))
  assert.deepEqual(here.told, ['honest', 'long', 'short'])
  assert.deepEqual(here.refused, [])
})

test('a row of failures ends a connection, though one failure does not', async (t) => {
  const here = scene(t)
  const connection = await here.raw.dial(here.bus.peer)
  let streams = 0
  const ended = (async () => {
    for (; streams < 100; streams++) await greetWith(connection, framed('{}'))
  })()
  await assert.rejects(ended, /closed/)
  assert.equal(here.refused.length, 16)
  await stillHears(t, here)
})

test('connections are bounded; those over the bound are closed at once', async (t) => {
  const here = scene(t, { maxConnections: 4, handshakeTimeoutMs: 100 })
  const held = await Promise.all(Array.from({ length: 50 }, () => here.raw.dial(here.bus.peer)))
  await new Promise((done) => setTimeout(done, 10))
  const opened = await Promise.allSettled(held.map((connection) => connection.openStream()))
  assert.equal(opened.filter(({ status }) => status === 'fulfilled').length, 4)
  await here.refusals(4)
  assert.deepEqual(here.refused, Array(4).fill('MESH_TIMEOUT'))
  await stillHears(t, here)
})

test('a flood of envelopes is taken in bounded memory', async (t) => {
  const here = scene(t)
  const connection = await here.raw.dial(here.bus.peer)
  const count = Number(process.env.FLOOD_ENVELOPES ?? 1_000)
  const held = () => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed
  }
  const before = held()
  for (let i = 1; i <= count; i++) {
    await here.raw.sendEnvelope(connection, envelope(here.raw.agent, BigInt(i), 'x'.repeat(500)))
  }
  await stillHears(t, here)
  assert.equal(here.told.length, count + 1)
  here.told.length = 0
  assert.ok(held() - before < 50_000_000, `${held() - before} bytes more`)
})

test('a peer that dies in the midst of its envelope leaves nothing behind', async (t) => {
  const here = scene(t)
  for (let i = 0; i < 20; i++) {
    const connection = await here.raw.dial(here.bus.peer)
    const stream = new FramedStream(await connection.openStream())
    await stream.write(helloFrame(here.raw.agent.certificate))
    await stream.readFrame(HANDSHAKE_FRAME_BYTES)
    await stream.write(new Uint8Array([0, 0, 255, 0, 0x7b]))
    connection.close()
  }
  await here.refusals(20)
  assert.deepEqual(new Set(here.refused), new Set(['MESH_PEER_CLOSED']))
  await stillHears(t, here)
})

/** Somebody at agentA's place who answers a greeting with these bytes. */
async function answering(raw: RawPeer, bytes: Uint8Array): Promise<void> {
  const connection = defined(await raw.accept())
  const stream = new FramedStream(defined(await connection.acceptStream()))
  await stream.readFrame(HANDSHAKE_FRAME_BYTES)
  await stream.write(bytes)
  assert.equal(await stream.readFrame(ENVELOPE_FRAME_BYTES).catch(() => undefined), undefined)
}

test('an acceptor that is not who it should be gets no envelope', async (t) => {
  const here = scene(t, { handshakeTimeoutMs: 100 })
  const to = { publicKey: KEYS.agentA.publicKey, addresses: [] }
  const cases = [
    [
      'another user',
      hello(agentOf(KEYS.agentA, KEYS.otherUser).certificate),
      { code: 'MESH_DIFFERENT_USER' },
    ],
    ['another agent', hello(agentOf(KEYS.delegateD).certificate), { code: 'MESH_HANDSHAKE' }],
    [
      'a forgery',
      framed(`{"cert_chain":${agentOf(KEYS.agentA).certificate.toJson().replace('worker', 'x')}}`),
      { code: 'MESH_BAD_CERT_CHAIN' },
    ],
    ['refusing us', framed('{"reason":"DifferentUser"}'), { code: 'MESH_DIFFERENT_USER' }],
    [
      'not taking our certificate',
      framed('{"reason":"BadCertChain"}'),
      { code: 'MESH_BAD_CERT_CHAIN' },
    ],
    [
      'with a reason of its own',
      framed('{"reason":"\\u001b[2J\u202e"}'),
      { code: 'MESH_HANDSHAKE' },
    ],
    ['speaking nonsense', framed('[]'), { code: 'MESH_HANDSHAKE' }],
    ['silent', new Uint8Array(), { code: 'MESH_TIMEOUT' }],
  ] as const
  for (const [name, bytes, error] of cases) {
    const sent = here.bus.publish(to, 'news', 'secret').catch((e: unknown) => e)
    await answering(here.raw, bytes)
    const failure = await sent
    assert.ok(failure instanceof MeshError, name)
    assert.equal(failure.code, error.code, name)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there.
    assert.doesNotMatch(String(failure), /[\u0000-\u001f\u007f-\u009f\u202e]/)
  }
})

test('an acceptor that hangs up without an answer gets no envelope', async (t) => {
  const here = scene(t)
  const to = { publicKey: KEYS.agentA.publicKey, addresses: [] }
  const sent = assert.rejects(here.bus.publish(to, 'news', 'secret'), {
    code: 'MESH_HANDSHAKE',
    message: 'the peer closed the stream without an answer',
  })
  const connection = defined(await here.raw.accept())
  await new FramedStream(defined(await connection.acceptStream())).finish()
  await sent
})

test('what watches the refusals may throw, and the bus goes on', async (t) => {
  const network = new MemoryNetwork()
  const caught = uncaught(t)
  const watched = notedBus(t, network, agentOf(KEYS.agentB), {
    onRejected: () => {
      throw new Error('from the watcher')
    },
  })
  const raw = new RawPeer(t, network, agentOf(KEYS.agentA))
  const connection = await raw.dial(watched.bus.peer)
  await greetWith(connection, framed('{}'))
  while (caught.length === 0) await new Promise((done) => setImmediate(done))
  assert.deepEqual(caught.map(String), ['Error: from the watcher'])
  const bus: MeshBus = watched.bus
  const told = new Promise((done) => bus.subscribe('news', done))
  await raw.sendEnvelope(connection, envelope(raw.agent, 1n))
  await told
})
