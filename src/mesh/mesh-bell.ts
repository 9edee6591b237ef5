/**
 * The bridge between a store's doorbell and the mesh: tells other agents of the user what was
 * committed here, and hears what they tell.
 *
 * A bell is a hint. It is sent at most once, coalesced, one at a time to each peer, and a peer
 * that stalls or is gone delays nobody else. Nothing that was heard is told again. What is heard
 * is only where to look: entries come from the store, and whoever follows it compares the hash
 * that was announced.
 *
 * @module
 */
import { BoundedMap, logKey } from '#shared'
import { type CommitEvent, Doorbell, type Fingerprint } from '../index.ts'
import type { MeshBus } from './bus.ts'
import { fingerprintOf, PeerList, type PeerSource } from './discovery/peers.ts'
import { decodeBell, encodeBell } from './doorbell-message.ts'
import { hasCode, MeshError } from './errors.ts'
import type { Delivery } from './subscription.ts'
import { DOORBELL_PREFIX, doorbellTopic } from './topic.ts'
import type { Peer } from './transport.ts'

/** What waits for one peer: beyond this, the oldest is let go of. */
const MOST_WAITING = 1_024

/** Options of a {@link MeshBell}. */
export interface MeshBellOptions {
  /** Whom to tell: a list, or a source that is asked at each ring. Default: nobody. */
  readonly peers?: Iterable<Peer> | PeerSource
  /** The streams to hear of. Default: all. */
  readonly streams?: Iterable<string>
  /** Told of a peer that could not be told. Default: nobody is, as it will look by itself. */
  readonly onUnreached?: (error: MeshError, peer: Peer) => void
  /** Told of what a peer sent that is no bell. Default: nobody is. */
  readonly onRejected?: (error: MeshError, from: Fingerprint) => void
}

/**
 * A bell that is carried by the mesh.
 *
 * @example
 * ```ts
 * const mesh = new MeshBell(bus, { peers: [parsePeer(text)] })
 * const local = new Doorbell()
 * local.tie(db)
 * local.subscribe((event) => mesh.ring(event))        // tell others
 * follow(db, { bells: [mesh], onFork: report })       // hear from others
 * ```
 */
export class MeshBell implements Disposable {
  readonly #bus: MeshBus
  readonly #peers: PeerSource
  readonly #options: MeshBellOptions
  readonly #heard = new Doorbell()
  readonly #missed = new Set<() => void>()
  readonly #lanes = new Map<string, Lane>()
  readonly #leave: (() => void)[]

  constructor(bus: MeshBus, options: MeshBellOptions = {}) {
    const { peers = [], streams } = options
    this.#bus = bus
    this.#options = options
    this.#peers = 'resolve' in peers ? peers : new PeerList(peers)
    const topics =
      streams === undefined ? [{ prefix: DOORBELL_PREFIX }] : Array.from(streams, doorbellTopic)
    this.#leave = topics.map((topic) =>
      bus.subscribe(topic, (delivery, missed) => this.#hear(delivery, missed)),
    )
  }

  /**
   * Tell the peers. Returns at once; while a peer is being told, only the newest of each log
   * waits for it.
   * @throws RangeError when the names are too long for the mesh; nobody is told.
   */
  ring(event: CommitEvent): void {
    const topic = doorbellTopic(event.stream)
    const body = encodeBell(event)
    const key = logKey(event)
    for (const peer of this.#peers.list()) {
      const name = fingerprintOf(peer).toHex()
      let lane = this.#lanes.get(name)
      if (lane === undefined) {
        lane = { waiting: new BoundedMap(MOST_WAITING), sending: undefined }
        this.#lanes.set(name, lane)
      }
      lane.waiting.set(key, { topic, body })
      lane.sending ??= this.#send(name, lane, peer)
    }
  }

  /**
   * Hear what other agents tell. Where some was missed, it rings without an event: any log may
   * have grown.
   * @returns a function that unsubscribes.
   */
  subscribe(ring: (event?: CommitEvent) => void): () => void {
    const off = this.#heard.subscribe(ring)
    const missed = () => ring()
    this.#missed.add(missed)
    return () => {
      off()
      this.#missed.delete(missed)
    }
  }

  /** Resolves when nobody is being told any more: everybody was, or could not be. */
  async idle(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all([...this.#lanes.values()].map((l) => l.sending))
  }

  /** Hear and tell no more; what is being sent is sent. The bus stays open. */
  close(): void {
    for (const leave of this.#leave.splice(0)) leave()
    for (const { waiting } of this.#lanes.values()) waiting.clear()
    this.#lanes.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #send(name: string, lane: Lane, peer: Peer): Promise<void> {
    for (const [key, { topic, body }] of lane.waiting) {
      lane.waiting.delete(key)
      try {
        await this.#bus.publish(peer, topic, body)
      } catch (error) {
        if (!(error instanceof MeshError)) throw error
        // What waits would wait as long again, each; the peer looks by itself.
        lane.waiting.clear()
        this.#options.onUnreached?.(error, peer)
      }
    }
    lane.sending = undefined
    if (this.#lanes.get(name) === lane) this.#lanes.delete(name)
  }

  #hear({ topic, body, sender }: Delivery, missed: number): void {
    if (missed > 0) for (const ring of this.#missed) ring()
    try {
      const event = decodeBell(topic, body)
      if (event !== undefined) this.#heard.ring(event)
    } catch (error) {
      if (!hasCode(error, 'MESH_BAD_BELL')) throw error
      this.#options.onRejected?.(error, sender)
    }
  }
}

/** The bells that wait for one peer, in the order of the telling. */
interface Lane {
  readonly waiting: BoundedMap<string, { readonly topic: string; readonly body: Uint8Array }>
  sending: Promise<void> | undefined
}
