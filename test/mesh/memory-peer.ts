/**
 * Peers on a network within the test: buses that note what they refuse, and an end without a bus
 * that says whatever it likes.
 *
 * @module
 */
import type { TestContext } from 'node:test'
import {
  type Agent,
  type BusOptions,
  type Connection,
  type Envelope,
  MeshBus,
  type MeshError,
  type Peer,
} from 'agent-store/mesh'
import type { MemoryNetwork } from 'agent-store/testing'
import { ENVELOPE_FRAME_BYTES, encodeFrame } from '../../src/mesh/frame.ts'
import { FramedStream } from '../../src/mesh/framed-stream.ts'
import { greet } from '../../src/mesh/handshake.ts'
import { Trust } from '../../src/mesh/identity/trust.ts'

/** A bus and what it said. */
export interface NotedBus {
  readonly bus: MeshBus
  /** Codes of what it refused, in order. */
  readonly refused: string[]
  readonly errors: MeshError[]
  /** Resolves when it has refused `count` in all. */
  readonly refusals: (count: number) => Promise<void>
}

/** A bus on `network` that is closed after the test. */
export function notedBus(
  t: Pick<TestContext, 'after'>,
  network: MemoryNetwork,
  agent: Agent,
  options: Partial<BusOptions> = {},
): NotedBus {
  const errors: MeshError[] = []
  const refused: string[] = []
  let wake = () => {}
  const bus = MeshBus.bind({
    agent,
    transport: network.bind(agent.key.publicKey),
    onRejected: (error) => {
      errors.push(error)
      refused.push(error.code)
      wake()
    },
    ...options,
  })
  t.after(() => bus.close())
  const refusals = async (count: number) => {
    while (refused.length < count) await new Promise<void>((done) => (wake = done))
  }
  return { bus, refused, errors, refusals }
}

/** An end of the network that is in nobody's hands but the test's. */
export class RawPeer {
  readonly agent: Agent
  readonly #transport: ReturnType<MemoryNetwork['bind']>

  constructor(t: Pick<TestContext, 'after'>, network: MemoryNetwork, agent: Agent) {
    this.agent = agent
    this.#transport = network.bind(agent.key.publicKey)
    t.after(() => this.#transport.close())
  }

  dial(peer: Peer): Promise<Connection> {
    return this.#transport.dial(peer, new AbortController().signal)
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  accept(): Promise<Connection | undefined> {
    return this.#transport.accept()
  }

  /** An honest handshake, and then these bytes. */
  async sendBytes(connection: Connection, bytes: Uint8Array): Promise<void> {
    const stream = new FramedStream(await connection.openStream())
    await greet(stream, new Trust(this.agent.certificate), connection.remoteKey)
    await stream.write(bytes)
    await stream.finish()
    await stream.abandon()
  }

  /** An honest handshake, and then an envelope, whoever made it. */
  sendEnvelope(connection: Connection, envelope: Envelope): Promise<void> {
    return this.sendBytes(connection, encodeFrame(envelope.toJson(), ENVELOPE_FRAME_BYTES))
  }
}
