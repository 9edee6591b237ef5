/**
 * What a receiver admits, envelope by envelope: what was seen of the Rust inbox, with the checks
 * of the newer one. A bus on a network in memory, and senders that make what they like.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Agent, Envelope, type EnvelopeContent } from 'agent-store/mesh'
import { MemoryNetwork } from 'agent-store/testing'
import { type BusMessage, decodeBusMessage, encodeBusMessage } from '../../src/mesh/bus-message.ts'
import { FramedStream } from '../../src/mesh/framed-stream.ts'
import { welcome } from '../../src/mesh/handshake.ts'
import { Trust } from '../../src/mesh/identity/trust.ts'
import { utf8 } from '../support.ts'
import { notedBus, RawPeer } from './memory-peer.ts'
import { agentOf, KEYS } from './support.ts'

const WIRE = `${KEYS.user.fingerprint}:news`
const TO_B = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const

function publish(body: string, topic = WIRE): Uint8Array {
  return encodeBusMessage({ kind: 'publish', topic, body: utf8(body) })
}

function sealed(agent: Agent, sequence: bigint, content: Partial<EnvelopeContent> = {}): Envelope {
  const payload = publish(`${sequence}`)
  return Envelope.seal(agent, { recipient: TO_B, sequence, payload, ...content })
}

test('the table of the inbox, in its order', async (t) => {
  const network = new MemoryNetwork()
  const { bus, errors } = notedBus(t, network, agentOf(KEYS.agentB))
  const told: string[] = []
  let wake = () => {}
  bus.subscribe('news', ({ body }) => {
    told.push(new TextDecoder().decode(body))
    wake()
  })
  const a = new RawPeer(t, network, agentOf(KEYS.agentA))
  const d = new RawPeer(
    t,
    network,
    agentOf(KEYS.agentA).delegate({ role: 'sub', key: KEYS.delegateD }),
  )
  const stranger = agentOf(KEYS.agentA, KEYS.otherUser)
  const reply: BusMessage = { kind: 'reply', correlation: new Uint8Array(16), body: utf8('?') }

  /** The outcome of one envelope: what was told, the code of the refusal, or nothing. */
  async function outcome(peer: RawPeer, envelope: Envelope) {
    const before = [told.length, errors.length] as const
    const connection = await peer.dial(bus.peer)
    await peer.sendEnvelope(connection, envelope)
    // Streams of one connection are read one after the other: when this one is refused, what
    // came before it is done.
    await peer.sendBytes(connection, new Uint8Array([0, 0, 0, 1, 0x78]))
    while (errors.at(-1)?.code !== 'MESH_ENCODING' || errors.length === before[1]) {
      await new Promise<void>((resolve) => {
        wake = resolve
        setImmediate(resolve)
      })
    }
    errors.pop()
    connection.close()
    const refused = errors.slice(before[1])
    const [error] = refused
    if (error !== undefined) {
      const least = /, expected (\d+) or more$/.exec(error.message)?.[1]
      return least === undefined ? error.code : `${error.code}, expected ${least}`
    }
    return told.length > before[0] ? `told ${told.at(-1)}` : 'nothing'
  }

  const one = sealed(a.agent, 1n)
  const table: readonly (readonly [string, Envelope, string])[] = [
    ['seq 0', sealed(a.agent, 0n), 'MESH_BAD_SEQUENCE, expected 1'],
    ['seq 1', one, 'told 1'],
    ['the same envelope again', one, 'MESH_REPLAY'],
    ['seq 1 with a new nonce', sealed(a.agent, 1n), 'MESH_BAD_SEQUENCE, expected 2'],
    ['seq 5, a gap', sealed(a.agent, 5n), 'told 5'],
    ['seq 4', sealed(a.agent, 4n), 'MESH_BAD_SEQUENCE, expected 6'],
    [
      'a topic without a subscriber',
      sealed(a.agent, 6n, { payload: publish('', `${WIRE}s`) }),
      'nothing',
    ],
    ['its number is used up', sealed(a.agent, 6n), 'MESH_BAD_SEQUENCE, expected 7'],
    [
      'a payload that is no message',
      sealed(a.agent, 7n, { payload: utf8('{') }),
      'MESH_BAD_BUS_MESSAGE',
    ],
    ['its number is used up too', sealed(a.agent, 7n), 'MESH_BAD_SEQUENCE, expected 8'],
    [
      'to a topic',
      sealed(a.agent, 8n, { recipient: { kind: 'topic', name: 'news' } }),
      'MESH_NOT_ADMITTED',
    ],
    [
      'to anybody',
      sealed(a.agent, 8n, { recipient: { kind: 'anycast', capability: 'x' } }),
      'MESH_NOT_ADMITTED',
    ],
    [
      'to somebody else',
      sealed(a.agent, 9n, { recipient: { kind: 'direct', agent: KEYS.delegateD.fingerprint } }),
      'MESH_NOT_ADMITTED',
    ],
    ['by an agent of another user', sealed(stranger, 9n), 'MESH_NOT_ADMITTED'],
    ['by an agent that did not bring it', sealed(d.agent, 9n), 'MESH_NOT_ADMITTED'],
    ['none of these left a trace', sealed(a.agent, 8n), 'told 8'],
    [
      'a topic in upper case',
      sealed(a.agent, 10n, { payload: publish('', WIRE.toUpperCase()) }),
      'nothing',
    ],
    [
      'a reply that nobody waits for',
      sealed(a.agent, 11n, { payload: encodeBusMessage(reply) }),
      'nothing',
    ],
    [
      'a request that nobody handles',
      sealed(a.agent, 12n, {
        payload: encodeBusMessage({ ...reply, kind: 'request', topic: WIRE }),
      }),
      'nothing',
    ],
    ['the highest number', sealed(a.agent, 2n ** 64n - 1n), `told ${2n ** 64n - 1n}`],
    [
      'nothing is above it',
      sealed(a.agent, 2n ** 64n - 1n),
      `MESH_BAD_SEQUENCE, expected ${2n ** 64n}`,
    ],
  ]
  for (const [name, envelope, expected] of table) {
    assert.equal(await outcome(a, envelope), expected, name)
  }
  assert.equal(await outcome(d, sealed(d.agent, 1000n)), 'told 1000', 'a delegated agent')
})

test('a reply counts only from the one who was asked', async (t) => {
  const network = new MemoryNetwork()
  const { bus } = notedBus(t, network, agentOf(KEYS.agentB))
  const asked = new RawPeer(t, network, agentOf(KEYS.agentA))
  const other = new RawPeer(t, network, agentOf(KEYS.delegateD))
  const reply = bus.request({ publicKey: KEYS.agentA.publicKey, addresses: [] }, 'ask', '', 5_000)
  const connection = await asked.accept()
  const stream = await connection?.acceptStream()
  assert.ok(connection !== undefined && stream !== undefined)
  const framed = new FramedStream(stream)
  await welcome(framed, new Trust(asked.agent.certificate), connection.remoteKey)
  const json = await framed.readFrame(2 ** 20)
  const question = decodeBusMessage(Envelope.fromJson(json ?? new Uint8Array()).payload)
  assert.ok(question.kind === 'request')
  const answer = (body: string): Uint8Array =>
    encodeBusMessage({ kind: 'reply', correlation: question.correlation, body: utf8(body) })
  const mine = await other.dial(bus.peer)
  await other.sendEnvelope(mine, sealed(other.agent, 1n, { payload: answer('false') }))
  await asked.sendEnvelope(connection, sealed(asked.agent, 1n, { payload: answer('true') }))
  assert.equal(new TextDecoder().decode(await reply), 'true')
})
