/**
 * Peers that announce themselves on the local network, by multicast DNS (RFC 6762).
 *
 * What is heard is a claim: of agents that call themselves our user's, it lists where they say
 * that they are. The connection and the handshake decide who they are.
 *
 * `multicast-dns` is an optional peer dependency, loaded when a browser is opened. While one is
 * open the process does not end by itself: close it.
 *
 * @module
 */
import { networkInterfaces } from 'node:os'
import type * as dns from 'multicast-dns'
import type { Fingerprint } from '../../index.ts'
import { TransportError } from '../errors.ts'
import type { Agent } from '../identity/agent.ts'
import type { Peer } from '../transport.ts'
import {
  type AnnouncedPeer,
  announcementRecords,
  type DnsRecord,
  instanceName,
  SERVICE,
} from './mdns-announcement.ts'
import { type HeardRecord, isLinkLocal, MdnsCache } from './mdns-cache.ts'
import type { PeerSource } from './peers.ts'

/** When the service is asked for, in milliseconds after the start, and then how often. */
const FIRST_QUERIES_MS = [0, 1_000, 3_000]
const QUERY_EVERY_MS = 60_000

/** However many ask, an answer is given so often at most. */
const ANSWER_EVERY_MS = 250

/** Options of {@link MdnsPeers.open}. */
export interface MdnsOptions {
  /** The address of the interface to use. Default: the system's choice for multicast. */
  readonly interface?: string
  /** List those alone that announce this. Any is found by its fingerprint. Default: list all. */
  readonly capability?: string
  /** Called when the list may have changed. */
  readonly onChange?: () => void
}

/** Finds agents of one user, and announces one's own. */
export class MdnsPeers implements PeerSource, AsyncDisposable {
  readonly #dns: dns.MulticastDNS
  readonly #cache: MdnsCache
  readonly #options: MdnsOptions
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #waiting = new Set<() => void>()
  #records: readonly DnsRecord[] = []
  #own: string | undefined
  #isHeld = false
  #isAsked = false
  #closing: Promise<void> | undefined

  private constructor(socket: dns.MulticastDNS, user: Fingerprint, options: MdnsOptions) {
    this.#dns = socket
    this.#options = options
    this.#cache = new MdnsCache(user, () => this.#changed())
    // Packets that are none, and interfaces that come and go, are no failure of ours.
    socket.on('warning', () => {})
    socket.on('error', () => {})
    socket.on('response', ({ answers = [], additionals = [] }) => {
      this.#cache.hear([...answers, ...additionals].map(heard))
      for (const name of this.#cache.incomplete().slice(0, 8)) this.#ask(name, ['SRV', 'TXT'])
    })
    socket.on('query', ({ questions }) => {
      if (questions?.some(({ name }) => this.#isAbout(name.toLowerCase()))) this.#answer()
    })
    for (const delay of FIRST_QUERIES_MS) this.#after(delay, () => this.#ask(SERVICE, ['PTR']))
    const every = setInterval(() => this.#ask(SERVICE, ['PTR']), QUERY_EVERY_MS)
    this.#timers.add(every.unref())
  }

  /**
   * Listen for agents of a user.
   * @throws TransportError when `multicast-dns` is not installed, or its port cannot be had.
   */
  static async open(user: Fingerprint, options: MdnsOptions = {}): Promise<MdnsPeers> {
    let make: (options: dns.Options) => dns.MulticastDNS
    try {
      make = (await import('multicast-dns')).default
    } catch (cause) {
      throw new TransportError('discovery needs the package multicast-dns; install it', { cause })
    }
    const { interface: address } = options
    const socket = make(address === undefined ? {} : { interface: address, bind: '0.0.0.0' })
    await new Promise<void>((resolve, reject) => {
      socket.once('ready', resolve)
      socket.once('error', (cause) => {
        reject(new TransportError(`cannot listen for announcements: ${cause.message}`, { cause }))
      })
    })
    return new MdnsPeers(socket, user, options)
  }

  /**
   * Let others find an agent on the port of its first address, until this is closed. Anybody on the
   * network reads its fingerprints, role, host and capabilities.
   * @throws RangeError when one of them is too long for DNS, or a capability has a comma.
   */
  announce(agent: Agent, { addresses: [first = ''] }: Pick<Peer, 'addresses'>): void {
    const port = Number(first.slice(first.lastIndexOf(':') + 1))
    this.#records = announcementRecords(agent, port, ownAddresses(this.#options.interface))
    this.#own = instanceName(agent.fingerprint)
    // Twice, a second apart (RFC 6762, 8.3): a single packet may be lost.
    for (const delay of [0, 1_000]) this.#after(delay, () => this.#answer())
  }

  /** The agent, when it is announced or as soon as it is; `undefined` when the search is given up. */
  resolve(agent: Fingerprint, signal: AbortSignal): Promise<AnnouncedPeer | undefined> {
    const find = () => this.#cache.list().find((peer) => peer.agent.equals(agent))
    return new Promise((resolve) => {
      const look = () => {
        const found = find()
        if (found === undefined && !signal.aborted && this.#closing === undefined) return
        this.#waiting.delete(look)
        signal.removeEventListener('abort', look)
        resolve(found)
      }
      this.#waiting.add(look)
      signal.addEventListener('abort', look)
      look()
      if (this.#waiting.has(look)) this.#ask(SERVICE, ['PTR'])
    })
  }

  /** Every agent of the user that announces itself, without our own. */
  list(): readonly AnnouncedPeer[] {
    const { capability } = this.#options
    return this.#cache
      .list()
      .filter(({ agent }) => instanceName(agent) !== this.#own)
      .filter(({ capabilities }) => capability === undefined || capabilities.includes(capability))
  }

  /** Take our announcement back, and listen no more. Does nothing the second time. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    if (this.#records.length > 0) {
      const goodbye = this.#records.map((record) => ({ ...record, ttl: 0 }))
      await new Promise<void>((done) => this.#dns.respond(packet(goodbye), () => done()))
    }
    await new Promise<void>((done) => this.#dns.destroy(done))
    this.#cache.clear()
    this.#changed()
  }

  #isAbout(name: string): boolean {
    return this.#records.some((record) => record.name.toLowerCase() === name)
  }

  #answer(): void {
    this.#isAsked = this.#isHeld
    if (this.#isHeld) return
    this.#isHeld = true
    this.#dns.respond(packet(this.#records))
    this.#after(ANSWER_EVERY_MS, () => {
      this.#isHeld = false
      if (this.#isAsked) this.#answer()
    })
  }

  #ask(name: string, types: readonly ('PTR' | 'SRV' | 'TXT')[]): void {
    if (this.#closing === undefined) {
      this.#dns.query({ questions: types.map((type) => ({ name, type })) })
    }
  }

  #after(delayMs: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, delayMs).unref()
    this.#timers.add(timer)
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look()
    this.#options.onChange?.()
  }
}

/** Where this machine can be reached: all its addresses, or those of one interface. */
function ownAddresses(only: string | undefined): string[] {
  const interfaces = Object.values(networkInterfaces()).map((addresses) => addresses ?? [])
  return interfaces
    .filter((addresses) => only === undefined || addresses.some(({ address }) => address === only))
    .flat()
    .filter(({ internal, address }) => address === only || !(internal || isLinkLocal(address)))
    .map(({ address }) => address)
}

function packet(records: readonly DnsRecord[]): dns.ResponseOutgoingPacket {
  return { answers: records.map(toAnswer) }
}

function toAnswer(record: DnsRecord): dns.ResponseOutgoingPacket['answers'][number] {
  return record.type === 'TXT' ? { ...record, data: [...record.data] } : record
}

function heard(record: { readonly type: string; readonly name: string }): HeardRecord {
  return { ...record }
}
