/**
 * Sending: one message at a time to each peer, so that none overtakes another, each with its own
 * time limits, so that one peer that stalls delays nobody else.
 *
 * @module
 */
import { BoundedMap } from '#shared'
import { type BusMessage, encodeBusMessage } from './bus-message.ts'
import { within } from './deadline.ts'
import { fingerprintOf } from './discovery/peers.ts'
import { Envelope } from './envelope.ts'
import { BacklogError, MeshTimeoutError, PeerClosedError, TransportError } from './errors.ts'
import { ENVELOPE_FRAME_BYTES, encodeFrame } from './frame.ts'
import { FramedStream } from './framed-stream.ts'
import { greet } from './handshake.ts'
import type { Agent } from './identity/agent.ts'
import type { Trust } from './identity/trust.ts'
import type { BusLimits } from './limits.ts'
import type { Connection, Peer, Transport } from './transport.ts'

/** How many connections are kept, where they are. */
const MAX_KEPT = 64

/** What a sender needs to know. */
export interface OutboundSettings {
  readonly agent: Agent
  readonly trust: Trust
  readonly transport: Transport
  readonly limits: BusLimits
  readonly keepConnections: boolean
  readonly firstSequence: bigint
}

/** Sends envelopes of one agent. */
export class Outbound {
  readonly #settings: OutboundSettings
  readonly #lanes = new Map<string, Lane>()
  readonly #kept = new BoundedMap<string, Connection>(MAX_KEPT)
  readonly #ending = new AbortController()
  #sequence: bigint

  constructor(settings: OutboundSettings) {
    this.#settings = settings
    this.#sequence = settings.firstSequence
  }

  /**
   * Send over a kept connection or a new one.
   * @param use takes the connection over once the message is sent, instead of closing it.
   */
  send(peer: Peer, message: BusMessage, use?: (connection: Connection) => void): Promise<void> {
    return this.#inTurn(peer, async () => {
      if (use === undefined && (await this.#sendOnKept(peer, message))) return
      await this.#sendOnNew(peer, message, use)
    })
  }

  /**
   * Send on a connection that the peer made; when that fails before the message is sent, on new
   * ones to where the peer may be, one place after another.
   */
  answer(connection: Connection, places: AsyncIterable<Peer>, message: BusMessage): Promise<void> {
    return this.#inTurn({ publicKey: connection.remoteKey, addresses: [] }, async () => {
      const stream = await this.#greet(connection).catch(() => undefined)
      if (stream !== undefined) return this.#post(connection, stream, message)
      let failure: unknown
      for await (const place of places) {
        try {
          return await this.#sendOnNew(place, message, undefined)
        } catch (error) {
          failure = error
        }
      }
      throw failure
    })
  }

  /** Give up whatever is under way. */
  close(): void {
    // The transport closes what is connected.
    this.#ending.abort()
  }

  async #inTurn(peer: Peer, work: () => Promise<void>): Promise<void> {
    const agent = fingerprintOf(peer)
    const name = agent.toHex()
    const lane = this.#lanes.get(name) ?? new Lane()
    if (lane.waiting >= this.#settings.limits.maxBacklog) {
      throw new BacklogError(`${lane.waiting} messages wait for ${agent.short()} already`)
    }
    this.#lanes.set(name, lane)
    try {
      await lane.run(work)
    } finally {
      if (lane.waiting === 0) this.#lanes.delete(name)
    }
  }

  /** @returns whether the message was sent: not when the connection turned out to be dead. */
  async #sendOnKept(peer: Peer, message: BusMessage): Promise<boolean> {
    const name = fingerprintOf(peer).toHex()
    const connection = this.#kept.get(name)
    if (connection === undefined) return false
    this.#kept.delete(name)
    let stream: FramedStream
    try {
      stream = await this.#greet(connection)
    } catch (error) {
      connection.close()
      if (isLoss(error)) return false
      throw error
    }
    await this.#post(connection, stream, message)
    this.#keep(name, connection)
    return true
  }

  async #sendOnNew(
    peer: Peer,
    message: BusMessage,
    use: ((connection: Connection) => void) | undefined,
  ): Promise<void> {
    const connection = await this.#dial(peer)
    let isTaken = false
    try {
      await this.#post(connection, await this.#greet(connection), message)
      isTaken = use !== undefined || this.#settings.keepConnections
    } finally {
      if (!isTaken) connection.close()
    }
    if (use !== undefined) use(connection)
    else if (isTaken) this.#keep(fingerprintOf(peer).toHex(), connection)
  }

  #keep(name: string, connection: Connection): void {
    this.#kept.set(name, connection)?.close()
  }

  #dial(peer: Peer): Promise<Connection> {
    const { dialTimeoutMs } = this.#settings.limits
    const attempt = new AbortController()
    const signal = AbortSignal.any([attempt.signal, this.#ending.signal])
    const dialing = this.#settings.transport.dial(peer, signal)
    return within('connecting', dialTimeoutMs, dialing, () => {
      attempt.abort()
      // A connection that comes too late has no owner.
      dialing.then(
        (late) => late.close(),
        () => {},
      )
    })
  }

  async #greet(connection: Connection): Promise<FramedStream> {
    const { trust, limits } = this.#settings
    const work = (async () => {
      const stream = new FramedStream(await connection.openStream())
      try {
        await greet(stream, trust, connection.remoteKey)
        return stream
      } catch (error) {
        await stream.abandon()
        throw error
      }
    })()
    return within('the handshake', limits.handshakeTimeoutMs, work, () => connection.close())
  }

  /** The sequence number is taken here and not before, so that numbers arrive in their order. */
  async #post(connection: Connection, stream: FramedStream, message: BusMessage): Promise<void> {
    const { agent, limits } = this.#settings
    const envelope = Envelope.seal(agent, {
      recipient: {
        kind: 'direct',
        agent: fingerprintOf({ publicKey: connection.remoteKey, addresses: [] }),
      },
      sequence: this.#sequence++,
      payload: encodeBusMessage(message),
    })
    const work = (async () => {
      try {
        await stream.write(encodeFrame(envelope.toJson(), ENVELOPE_FRAME_BYTES))
        await stream.finish()
      } finally {
        await stream.abandon()
      }
    })()
    await within('sending the envelope', limits.envelopeTimeoutMs, work, () => connection.close())
  }
}

/** Work for one peer, one piece after the other. */
class Lane {
  #tail: Promise<void> = Promise.resolve()
  waiting = 0

  async run(work: () => Promise<void>): Promise<void> {
    this.waiting++
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => {})
    try {
      await turn
    } finally {
      this.waiting--
    }
  }
}

function isLoss(error: unknown): boolean {
  return (
    error instanceof PeerClosedError ||
    error instanceof TransportError ||
    error instanceof MeshTimeoutError
  )
}
