/**
 * What has been heard by multicast DNS: records put together to agents, in bounded number, each
 * until it is taken back or has not been renewed for as long as it said.
 *
 * @module
 */
import type { Fingerprint } from '../../index.ts'
import { type AnnouncedPeer, readAnnouncement, SERVICE } from './mdns-announcement.ts'

/** How many instances are remembered, and how many addresses of each host. */
const MAX_INSTANCES = 1_024
const MAX_ADDRESSES = 16

/** The longest that a record is believed, in seconds, whatever it says. */
const MAX_TTL = 4_500

/** A record as it was heard; what it holds is not checked. */
export interface HeardRecord {
  readonly type: string
  readonly name: string
  readonly ttl?: number | undefined
  readonly data?: unknown
}

interface Instance {
  texts: readonly string[] | undefined
  place: { readonly port: number; readonly target: string } | undefined
  peer: AnnouncedPeer | undefined
  expiry: NodeJS.Timeout | undefined
}

/** The agents of one user that were heard of, without one's own. */
export class MdnsCache {
  readonly #user: Fingerprint
  readonly #instances = new Map<string, Instance>()
  readonly #addresses = new Map<string, Set<string>>()
  readonly #onChange: () => void

  constructor(user: Fingerprint, onChange: () => void) {
    this.#user = user
    this.#onChange = onChange
  }

  /** Take in the records of one packet. */
  hear(records: readonly HeardRecord[]): void {
    for (const record of records) this.#hear(record)
    for (const [name, instance] of this.#instances) this.#complete(name, instance)
    this.#onChange()
  }

  /** Every agent of the user that can be dialed. */
  list(): AnnouncedPeer[] {
    return [...this.#instances.values()].flatMap(({ peer }) => peer ?? [])
  }

  /** Names of instances of which something is missing still. */
  incomplete(): string[] {
    const isIncomplete = ({ texts, place }: Instance) => texts === undefined || place === undefined
    return [...this.#instances].flatMap(([name, one]) => (isIncomplete(one) ? name : []))
  }

  /** Forget everything. */
  clear(): void {
    for (const name of [...this.#instances.keys()]) this.#drop(name)
    this.#addresses.clear()
  }

  #hear(record: HeardRecord): void {
    const name = record.name.toLowerCase()
    const ttl = Math.min(record.ttl ?? 0, MAX_TTL)
    switch (record.type) {
      case 'PTR':
        if (name !== SERVICE || typeof record.data !== 'string') return
        this.#touch(record.data.toLowerCase(), ttl)
        return
      case 'SRV': {
        const place = placeOf(record.data)
        const instance = place && this.#touch(name, ttl)
        if (instance !== undefined) instance.place = place
        return
      }
      case 'TXT': {
        const instance = this.#touch(name, ttl)
        if (instance !== undefined) instance.texts = textsOf(record.data)
        return
      }
      case 'A':
      case 'AAAA':
        if (typeof record.data === 'string') this.#hearAddress(name, record.data, ttl)
    }
  }

  /** The instance of that name, which holds for so long from now on; none that says goodbye. */
  #touch(name: string, ttl: number): Instance | undefined {
    if (!name.endsWith(`.${SERVICE}`)) return undefined
    if (ttl === 0) return this.#drop(name)
    const known = this.#instances.get(name)
    if (known === undefined && this.#instances.size >= MAX_INSTANCES) return undefined
    const instance = known ?? {
      texts: undefined,
      place: undefined,
      peer: undefined,
      expiry: undefined,
    }
    clearTimeout(instance.expiry)
    instance.expiry = setTimeout(() => {
      this.#drop(name)
      this.#onChange()
    }, ttl * 1_000).unref()
    this.#instances.set(name, instance)
    return instance
  }

  #drop(name: string): undefined {
    clearTimeout(this.#instances.get(name)?.expiry)
    this.#instances.delete(name)
  }

  #hearAddress(name: string, address: string, ttl: number): void {
    if (isLinkLocal(address)) return
    const known = this.#addresses.get(name) ?? new Set()
    if (ttl === 0) known.delete(address)
    else if (known.size < MAX_ADDRESSES) known.add(address)
    if (known.size === 0) this.#addresses.delete(name)
    else if (this.#addresses.has(name) || this.#addresses.size < MAX_INSTANCES) {
      this.#addresses.set(name, known)
    }
  }

  #complete(name: string, instance: Instance): void {
    const { texts, place } = instance
    if (texts === undefined || place === undefined) return
    const addresses = [...(this.#addresses.get(place.target) ?? [])]
    const peer = readAnnouncement(texts, place.port, addresses)
    const isOurs =
      peer?.user.equals(this.#user) === true && name.startsWith(`am-${peer.agent.short()}.`)
    instance.peer = isOurs ? peer : undefined
  }
}

/** Whether an address of IPv6 says nothing without its interface, so that it cannot be dialed. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address)
}

function placeOf(data: unknown): { port: number; target: string } | undefined {
  if (typeof data !== 'object' || data === null) return undefined
  if (!('port' in data && 'target' in data)) return undefined
  const { port, target } = data
  if (typeof port !== 'number' || typeof target !== 'string') return undefined
  return { port, target: target.toLowerCase() }
}

function textsOf(data: unknown): string[] {
  const parts: readonly unknown[] = Array.isArray(data) ? data : [data]
  return parts.flatMap((part) =>
    part instanceof Uint8Array
      ? Buffer.from(part).toString()
      : typeof part === 'string'
        ? part
        : [],
  )
}
