/**
 * Receiving: each connection's streams one after the other, each of them a handshake and one
 * envelope, within limits of time and size. A stream that fails does not end its connection; one
 * that stalls does, and so does a row of failures.
 *
 * @module
 */
import type { BusMessage } from './bus-message.ts'
import { within } from './deadline.ts'
import { Envelope } from './envelope.ts'
import { MeshError, MeshTimeoutError, PeerClosedError } from './errors.ts'
import { FramedStream } from './framed-stream.ts'
import { welcome } from './handshake.ts'
import type { Certificate } from './identity/certificate.ts'
import type { Trust } from './identity/trust.ts'
import type { Inbox } from './inbox.ts'
import type { BusLimits } from './limits.ts'
import type { Connection, Stream, Transport } from './transport.ts'

/** After this many failures in a row, a connection is closed. */
const MAX_FAILURES = 16

/** An admitted envelope with what it said, and the connection that brought it. */
export interface Arrival {
  readonly envelope: Envelope
  readonly message: BusMessage
  readonly connection: Connection
}

/** What a receiver needs to know. */
export interface InboundSettings {
  readonly trust: Trust
  readonly transport: Transport
  readonly inbox: Inbox
  readonly limits: BusLimits
  readonly onArrival: (arrival: Arrival) => void
  readonly onRejected: (error: MeshError, connection: Connection) => void
}

/** Accepts connections until the transport is closed. */
export class Inbound {
  readonly #settings: InboundSettings
  readonly #open = new Set<Connection>()
  readonly #turns = new Map<string, Promise<void>>()
  readonly #accepting: Promise<void>

  constructor(settings: InboundSettings) {
    this.#settings = settings
    this.#accepting = this.#accept()
  }

  /** Receive from a connection that we made, for as long as it is open. */
  async serve(connection: Connection, isTrusted = false): Promise<void> {
    this.#open.add(connection)
    try {
      await this.#serve(connection, isTrusted)
    } catch (error) {
      this.#reject(error, connection)
    } finally {
      connection.close()
      this.#open.delete(connection)
    }
  }

  /** Close every connection; resolves when the transport, closed before, accepts no more. */
  async close(): Promise<void> {
    for (const connection of this.#open) connection.close()
    await this.#accepting
  }

  /** How many connections are open. */
  get size(): number {
    return this.#open.size
  }

  async #accept(): Promise<void> {
    const { transport, limits } = this.#settings
    for (;;) {
      const connection = await transport.accept()
      if (connection === undefined) return
      if (this.#open.size >= limits.maxConnections) connection.close()
      else void this.serve(connection)
    }
  }

  async #serve(connection: Connection, isTrusted: boolean): Promise<void> {
    const { handshakeTimeoutMs } = this.#settings.limits
    let isKnown = isTrusted
    const onTrust = () => (isKnown = true)
    for (let failures = 0; failures < MAX_FAILURES; ) {
      const opened = connection.acceptStream()
      // One of the team may be silent for as long as it likes; a stranger may not.
      const stream = await (isKnown
        ? opened
        : within('the first stream', handshakeTimeoutMs, opened, () => connection.close()))
      if (stream === undefined) return
      try {
        await this.#receive(connection, stream, onTrust)
        failures = 0
      } catch (error) {
        if (error instanceof MeshTimeoutError) throw error
        this.#reject(error, connection)
        failures++
      }
    }
  }

  async #receive(connection: Connection, stream: Stream, onTrust: () => void): Promise<void> {
    const { trust, inbox, limits, onArrival } = this.#settings
    const giveUp = () => connection.close()
    const framed = new FramedStream(stream)
    try {
      const greeting = welcome(framed, trust, connection.remoteKey)
      const carrier = await within('the handshake', limits.handshakeTimeoutMs, greeting, giveUp)
      onTrust()
      await this.#inTurn(carrier, async (earlier) => {
        const reading = framed.readFrame(limits.maxEnvelopeBytes)
        const json = await within('the envelope', limits.envelopeTimeoutMs, reading, giveUp)
        if (json === undefined) throw new PeerClosedError('the peer sent no envelope')
        const envelope = Envelope.fromJson(json)
        await earlier
        onArrival({ envelope, message: inbox.admit(envelope, carrier), connection })
      })
    } finally {
      await framed.abandon()
    }
  }

  /**
   * A sender that has handed over one envelope sends the next on a connection of its own. A short
   * one must not overtake a long one, which would then come with too low a number: both are read
   * at once, and admitted in the order of their handshakes.
   */
  async #inTurn(
    carrier: Certificate,
    work: (earlier: Promise<void> | undefined) => Promise<void>,
  ): Promise<void> {
    const name = carrier.agent.toHex()
    const earlier = this.#turns.get(name)
    const { promise: turn, resolve: done } = Promise.withResolvers<void>()
    this.#turns.set(name, turn)
    try {
      await work(earlier)
    } finally {
      done()
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    }
  }

  #reject(error: unknown, connection: Connection): void {
    if (!(error instanceof MeshError)) throw error
    this.#settings.onRejected(error, connection)
  }
}
