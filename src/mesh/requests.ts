/**
 * Asking one peer and answering another: on the connection that the request came on, or on one
 * back to where the asker may be.
 *
 * @module
 */
import { randomBytes } from 'node:crypto'
import type { Fingerprint } from '../index.ts'
import type { BusMessage } from './bus-message.ts'
import { within } from './deadline.ts'
import { fingerprintOf } from './discovery/peers.ts'
import { MeshClosedError, MeshError } from './errors.ts'
import type { Arrival } from './inbound.ts'
import { utf8 } from './json/canonical-json.ts'
import type { Outbound } from './outbound.ts'
import type { Connection, Peer } from './transport.ts'

/** What somebody asks. */
export interface MeshRequest {
  readonly topic: string
  readonly body: Uint8Array
  /** The agent that asks. */
  readonly sender: Fingerprint
}

/** Answers a request. When it throws, the asker gets no reply. */
export type RequestHandler = (request: MeshRequest) => Uint8Array | Promise<Uint8Array>

/** What asking and answering need of the bus. */
export interface RequestsSettings {
  readonly outbound: Outbound
  /** How many requests are answered at once. */
  readonly maxRequests: number
  /** Receive from a connection that we made. */
  readonly serve: (connection: Connection) => void
  readonly resolve: (agent: Fingerprint) => Promise<Peer>
  /** Takes what a handler throws. */
  readonly onError: (error: unknown) => void
  /** Told of an asker that its answer did not reach. */
  readonly onLost: (error: MeshError, connection: Connection) => void
}

interface Waiter {
  readonly asked: Fingerprint
  readonly resolve: (body: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

/** The requests of one bus, its own and those of others. */
export class Requests {
  readonly #settings: RequestsSettings
  readonly #handlers = new Map<string, RequestHandler>()
  readonly #waiters = new Map<string, Waiter>()
  #answering = 0

  constructor(settings: RequestsSettings) {
    this.#settings = settings
  }

  /** @returns the way out. */
  handle(wire: string, handler: RequestHandler): () => void {
    this.#handlers.set(wire, handler)
    return () => {
      if (this.#handlers.get(wire) === handler) this.#handlers.delete(wire)
    }
  }

  /** Ask `peer`, and wait for the reply that it, and nobody else, signs. */
  async ask(peer: Peer, topic: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { outbound, serve } = this.#settings
    const correlation = new Uint8Array(randomBytes(16))
    const key = keyOf(correlation)
    const reply = Promise.withResolvers<Uint8Array>()
    // A request that cannot be sent fails by itself, and then nobody looks at the reply.
    reply.promise.catch(() => {})
    this.#waiters.set(key, { asked: fingerprintOf(peer), ...reply })
    let connection: Connection | undefined
    try {
      await outbound.send(peer, { kind: 'request', topic, correlation, body }, (taken) => {
        connection = taken
        // Newer peers reply on the connection that the request came on.
        serve(taken)
      })
      return await within('the reply', timeoutMs, reply.promise)
    } finally {
      this.#waiters.delete(key)
      connection?.close()
    }
  }

  /** Answer a request, if there is a handler for it and not too many are being answered. */
  async answer(
    { envelope, connection }: Arrival,
    { topic: wire, correlation, body }: Extract<BusMessage, { kind: 'request' }>,
  ): Promise<void> {
    const { outbound, maxRequests, onError, onLost } = this.#settings
    const handler = this.#handlers.get(wire)
    if (handler === undefined || this.#answering >= maxRequests) return
    this.#answering++
    const sender = envelope.certificate.agent
    // Asked now: of a connection that is closed it cannot be told.
    const seen = connection.remoteAddress
    try {
      const topic = wire.slice(wire.indexOf(':') + 1)
      const answer = bytesOf(await handler({ topic, body, sender }))
      const reply = { kind: 'reply', correlation, body: answer } as const
      const places = this.#placesOf(connection.remoteKey, seen, sender)
      // Whoever asks and goes away is no failure of the handler's.
      await outbound.answer(connection, places, reply).catch((error: unknown) => {
        if (!(error instanceof MeshError)) throw error
        onLost(error, connection)
      })
    } catch (error) {
      onError(error)
    } finally {
      this.#answering--
    }
  }

  /** Hand a reply to whoever waits for it. */
  settle(sender: Fingerprint, { correlation, body }: Extract<BusMessage, { kind: 'reply' }>): void {
    const waiter = this.#waiters.get(keyOf(correlation))
    if (waiter?.asked.equals(sender)) waiter.resolve(body)
  }

  /** Fail those who wait. */
  close(): void {
    for (const { reject } of this.#waiters.values()) {
      reject(new MeshClosedError('the bus was closed'))
    }
  }

  /** Where an asker may be: where its request came from, this machine, where it is known to be. */
  async *#placesOf(
    publicKey: Uint8Array,
    seen: string | undefined,
    sender: Fingerprint,
  ): AsyncGenerator<Peer> {
    if (seen !== undefined) {
      const port = seen.slice(seen.lastIndexOf(':') + 1)
      yield { publicKey, addresses: [seen, `127.0.0.1:${port}`, `[::1]:${port}`] }
    }
    yield await this.#settings.resolve(sender)
  }
}

/** What is sent, as bytes: text stands for its UTF-8. @throws TypeError. */
export function bytesOf(body: Uint8Array | string): Uint8Array {
  if (typeof body === 'string') return utf8(body)
  if (!(body instanceof Uint8Array)) {
    throw new TypeError(`body must be a Uint8Array or a string, got ${typeof body}`)
  }
  return body
}

function keyOf(correlation: Uint8Array): string {
  return Buffer.from(correlation).toString('hex')
}
