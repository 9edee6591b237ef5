/**
 * The bus: publish and subscribe, ask and answer, among the agents of one user.
 *
 * A message is sent to one peer at a time and at most once. That it was sent means that the
 * peer's machine has it, not that somebody read it.
 *
 * @module
 */
import { checkFunction, sameBytes, throwUncaught } from '#shared'
import { Fingerprint } from '../index.ts'
import { within } from './deadline.ts'
import { fingerprintOf, PeerList, type PeerSource } from './discovery/peers.ts'
import { MeshClosedError, MeshError, MeshTimeoutError, UnreachableError } from './errors.ts'
import type { Agent } from './identity/agent.ts'
import { Trust } from './identity/trust.ts'
import { type Arrival, Inbound } from './inbound.ts'
import { Inbox } from './inbox.ts'
import { checkUint64 } from './json/canonical-json.ts'
import { type BusLimits, completeLimits } from './limits.ts'
import { Outbound } from './outbound.ts'
import { bytesOf, type RequestHandler, Requests } from './requests.ts'
import { Subscription, Subscriptions, type TopicSubscriber } from './subscription.ts'
import { topicToWire } from './topic.ts'
import type { Connection, Peer, Transport } from './transport.ts'

/** Options of {@link MeshBus.bind}. */
export interface BusOptions {
  readonly agent: Agent
  /** Bound with the agent's key. The bus closes it. */
  readonly transport: Transport
  /** Where to find peers by fingerprint. Default: nowhere. */
  readonly peers?: PeerSource
  readonly limits?: Partial<BusLimits>
  /**
   * Send over one connection per peer for as long as it holds, instead of a new one for each
   * message, as the Rust peers do. Default `false`.
   */
  readonly keepConnections?: boolean
  /**
   * The first sequence number. Default 1, right for a key that is new in each process; with a
   * key that is used again it must be above every number ever used.
   */
  readonly firstSequence?: bigint
  /** Takes what a subscriber or a handler throws. Default: it is thrown as an uncaught exception. */
  readonly onError?: (error: unknown) => void
  /**
   * Told of every connection, stream and envelope that was refused, and of every asker that its
   * answer did not reach. Default: nobody is.
   */
  readonly onRejected?: (error: MeshError, from: Fingerprint) => void
}

/**
 * One agent's place on the mesh.
 *
 * @example
 * ```ts
 * const agent = Agent.issue(readKeyFile(defaultKeyPath()), { role: 'worker' })
 * const transport = await IrohTransport.bind(agent.key)
 * await using bus = MeshBus.bind({ agent, transport })
 * bus.subscribe('news', ({ body, sender }) => console.log(sender.short(), body))
 * await bus.publish(parsePeer(text), 'news', 'hello')
 * ```
 */
export class MeshBus implements AsyncDisposable {
  readonly agent: Agent
  readonly #options: BusOptions
  readonly #limits: BusLimits
  readonly #peers: PeerSource
  readonly #inbound: Inbound
  readonly #outbound: Outbound
  readonly #subscriptions = new Subscriptions()
  readonly #requests: Requests
  #closing: Promise<void> | undefined

  private constructor(options: BusOptions) {
    const { agent, transport, keepConnections = false, firstSequence = 1n } = options
    checkUint64('firstSequence', firstSequence)
    if (firstSequence === 0n) throw new RangeError('firstSequence must be from 1, got 0')
    if (!sameBytes(transport.publicKey, agent.key.publicKey)) {
      throw new MeshError(
        'MESH_BAD_SIGNATURE',
        "the transport is bound with another key than the agent's",
      )
    }
    this.agent = agent
    this.#options = options
    this.#limits = completeLimits(options.limits ?? {})
    this.#peers = options.peers ?? new PeerList()
    const limits = this.#limits
    const trust = new Trust(agent.certificate)
    this.#outbound = new Outbound({
      agent,
      trust,
      transport,
      limits,
      keepConnections,
      firstSequence,
    })
    this.#inbound = new Inbound({
      trust,
      transport,
      inbox: new Inbox(trust),
      limits,
      onArrival: (arrival) => this.#dispatch(arrival),
      onRejected: (error, connection) => this.#rejected(error, connection),
    })
    this.#requests = new Requests({
      outbound: this.#outbound,
      maxRequests: limits.maxRequests,
      serve: (connection) => void this.#inbound.serve(connection, true),
      resolve: (agent) => this.#resolve(agent),
      onError: (error) => this.#failed(error),
      onLost: (error, connection) => this.#rejected(error, connection),
    })
  }

  /**
   * Take an agent's place on the mesh; from now on others can reach it.
   * @throws TypeError, RangeError when an option is not what it should be.
   * @throws MeshError MESH_BAD_SIGNATURE when the transport has another key than the agent.
   */
  static bind(options: BusOptions): MeshBus {
    return new MeshBus(options)
  }

  /** Where others find this agent. */
  get peer(): Peer {
    const { transport } = this.#options
    return { publicKey: transport.publicKey, addresses: transport.addresses }
  }

  /**
   * Be told of what is published to this agent on a topic, or on all whose name has a prefix.
   * @returns a function that unsubscribes; calling it again does nothing.
   * @throws TypeError.
   */
  subscribe(topic: string | { readonly prefix: string }, subscriber: TopicSubscriber): () => void {
    checkFunction('subscriber', subscriber)
    const subscription = new Subscription(subscriber, (error) => this.#failed(error))
    return typeof topic === 'string'
      ? this.#subscriptions.add(this.#wire(topic), subscription)
      : this.#subscriptions.addPrefix(this.#wire(topic.prefix), subscription)
  }

  /**
   * Send to one peer what it may have subscribed to. Resolves when the peer's machine has it.
   * @param to a peer, or the fingerprint of one that `peers` knows.
   * @throws MeshError: UnreachableError, MeshTimeoutError, MESH_DIFFERENT_USER, MESH_BAD_CERT_CHAIN,
   *   MESH_HANDSHAKE, PeerClosedError, MESH_FRAME (the body is too large), BacklogError, MeshClosedError.
   */
  async publish(to: Peer | Fingerprint, topic: string, body: Uint8Array | string): Promise<void> {
    const message = { kind: 'publish', topic: this.#wire(topic), body: bytesOf(body) } as const
    await this.#whileOpen(async () => this.#outbound.send(await this.#resolve(to), message))
  }

  /**
   * Answer requests on a topic. A topic has one handler; a second takes its place.
   * @returns a function that removes the handler.
   */
  handle(topic: string, handler: RequestHandler): () => void {
    checkFunction('handler', handler)
    return this.#requests.handle(this.#wire(topic), handler)
  }

  /**
   * Ask one peer, and wait for its reply.
   * @param timeoutMs how long to wait after the request was sent. Default 10,000.
   * @throws MeshTimeoutError when no reply came: nobody answers on the topic, or it failed.
   * @throws as {@link MeshBus.publish}.
   */
  async request(
    to: Peer | Fingerprint,
    topic: string,
    body: Uint8Array | string,
    timeoutMs = 10_000,
  ): Promise<Uint8Array> {
    const [wire, bytes] = [this.#wire(topic), bytesOf(body)]
    return this.#whileOpen(async () =>
      this.#requests.ask(await this.#resolve(to), wire, bytes, timeoutMs),
    )
  }

  /** Leave the mesh: close the transport, and fail whatever is under way. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#requests.close()
    this.#outbound.close()
    await this.#options.transport.close()
    await this.#inbound.close()
  }

  async #whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new MeshClosedError('the bus is closed')
    try {
      return await work()
    } catch (cause) {
      if (this.#closing === undefined || cause instanceof MeshClosedError) throw cause
      throw new MeshClosedError('the bus was closed', { cause })
    }
  }

  async #resolve(to: Peer | Fingerprint): Promise<Peer> {
    if (!(to instanceof Fingerprint)) return to
    const search = new AbortController()
    try {
      const { resolveTimeoutMs } = this.#limits
      const resolving = this.#peers.resolve(to, search.signal)
      const peer = await within('finding the peer', resolveTimeoutMs, resolving)
      if (peer !== undefined && fingerprintOf(peer).equals(to)) return peer
    } catch (cause) {
      if (!(cause instanceof MeshTimeoutError)) throw cause
      throw new UnreachableError(`${to.short()} was not found in time`, { cause })
    } finally {
      search.abort()
    }
    throw new UnreachableError(`nobody knows where ${to.short()} is`)
  }

  #dispatch(arrival: Arrival): void {
    const { envelope, message } = arrival
    const { certificate, sequence } = envelope
    const sender = certificate.agent
    switch (message.kind) {
      case 'publish': {
        const topic = message.topic.slice(message.topic.indexOf(':') + 1)
        const delivery = { topic, body: message.body, sender, certificate, sequence }
        this.#subscriptions.deliver(message.topic, delivery)
        return
      }
      case 'request':
        void this.#requests.answer(arrival, message)
        return
      case 'reply':
        this.#requests.settle(sender, message)
    }
  }

  #rejected(error: MeshError, connection: Connection): void {
    if (this.#closing !== undefined) return
    const from = fingerprintOf({ publicKey: connection.remoteKey, addresses: [] })
    try {
      this.#options.onRejected?.(error, from)
    } catch (failure) {
      throwUncaught(failure)
    }
  }

  #failed(error: unknown): void {
    if (this.#closing !== undefined) return
    try {
      if (this.#options.onError === undefined) throwUncaught(error)
      else this.#options.onError(error)
    } catch (failure) {
      throwUncaught(failure)
    }
  }

  #wire(name: string): string {
    return topicToWire({ user: this.agent.user, name })
  }
}
