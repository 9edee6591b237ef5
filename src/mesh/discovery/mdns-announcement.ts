/**
 * What an agent announces of itself by DNS-SD (RFC 6763), as records and back. Everything in it
 * is a claim that anybody may make: it selects whom to dial, and decides nothing.
 *
 * @module
 */
import { Fingerprint } from '../../index.ts'
import type { Agent } from '../identity/agent.ts'
import type { Peer } from '../transport.ts'
import { fingerprintOf } from './peers.ts'

/** The service under which agents are found. */
export const SERVICE = '_agent-mesh._udp.local'

/** What an agent offers that wants to be told of commits. */
export const DOORBELL_CAPABILITY = 'agent-store-doorbell'

/** Seconds for which records hold: of the service and the text, and of places. */
const SERVICE_TTL = 4_500
const PLACE_TTL = 120

/** The most bytes of one string in a TXT record. */
const MAX_TEXT_BYTES = 255

/** A record of the kinds that are used here. */
export type DnsRecord =
  | { readonly type: 'PTR'; readonly name: string; readonly ttl: number; readonly data: string }
  | {
      readonly type: 'SRV'
      readonly name: string
      readonly ttl: number
      readonly flush: true
      readonly data: { readonly port: number; readonly target: string }
    }
  | {
      readonly type: 'TXT'
      readonly name: string
      readonly ttl: number
      readonly flush: true
      readonly data: readonly string[]
    }
  | {
      readonly type: 'A' | 'AAAA'
      readonly name: string
      readonly ttl: number
      readonly flush: true
      readonly data: string
    }

/** An agent as it announces itself. All of it is claimed, nothing is verified. */
export interface AnnouncedPeer extends Peer {
  readonly agent: Fingerprint
  readonly user: Fingerprint
  readonly role: string
  readonly host: string
  readonly capabilities: readonly string[]
}

/** The name of an agent's instance of the service, without the closing dot. */
export function instanceName(agent: Fingerprint): string {
  return `am-${agent.short()}.${SERVICE}`
}

/** The strings of the TXT record. @throws RangeError when one is longer than DNS allows. */
export function announcementText(agent: Agent): string[] {
  const { role, host, capabilities } = agent.certificate.metadata
  const comma = capabilities.find((capability) => capability.includes(','))
  if (comma !== undefined) {
    throw new RangeError(
      `a capability that is announced has no comma, got ${JSON.stringify(comma)}`,
    )
  }
  const texts = [
    `agent_fp=${agent.fingerprint}`,
    `user_fp=${agent.user}`,
    `caps=${capabilities.join(',')}`,
    `role=${role}`,
    `host=${host}`,
    `agent_pub=${Buffer.from(agent.key.publicKey).toString('hex')}`,
  ]
  for (const text of texts) {
    const bytes = Buffer.byteLength(text)
    if (bytes > MAX_TEXT_BYTES) {
      const name = text.slice(0, text.indexOf('='))
      throw new RangeError(`${name} is announced in at most ${MAX_TEXT_BYTES} bytes, got ${bytes}`)
    }
  }
  return texts
}

/**
 * The records of an agent that listens on `port` of these addresses. Its host name is its own, so
 * that it does not quarrel with the machine's.
 */
export function announcementRecords(
  agent: Agent,
  port: number,
  addresses: readonly string[],
): DnsRecord[] {
  const instance = instanceName(agent.fingerprint)
  const target = `am-${agent.fingerprint.short()}.local`
  const unique = { flush: true } as const
  return [
    { type: 'PTR', name: SERVICE, ttl: SERVICE_TTL, data: instance },
    { type: 'SRV', name: instance, ttl: PLACE_TTL, ...unique, data: { port, target } },
    { type: 'TXT', name: instance, ttl: SERVICE_TTL, ...unique, data: announcementText(agent) },
    ...addresses.map((data): DnsRecord => {
      const type = data.includes(':') ? 'AAAA' : 'A'
      return { type, name: target, ttl: PLACE_TTL, ...unique, data }
    }),
  ]
}

/**
 * The agent of an announcement; `undefined` when it says too little to be dialed, or
 * contradicts itself.
 */
export function readAnnouncement(
  texts: readonly string[],
  port: number,
  addresses: readonly string[],
): AnnouncedPeer | undefined {
  const values = new Map<string, string>()
  for (const text of texts) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
    const name = key?.toLowerCase()
    // Of a key that comes twice the first counts (RFC 6763, 6.4).
    if (name !== undefined && value !== undefined && !values.has(name)) values.set(name, value)
  }
  const [agent, user, key] = ['agent_fp', 'user_fp', 'agent_pub'].map((name) =>
    hexOf(values.get(name)),
  )
  if (agent === undefined || user === undefined || key === undefined || port === 0) return undefined
  const hosts = [...addresses.map((one) => (one.includes(':') ? `[${one}]` : one))]
  const peer = {
    publicKey: key,
    addresses: [...hosts, '127.0.0.1', '[::1]'].map((host) => `${host}:${port}`),
  }
  if (!fingerprintOf(peer).equals(Fingerprint.fromBytes(agent))) return undefined
  return {
    ...peer,
    agent: fingerprintOf(peer),
    user: Fingerprint.fromBytes(user),
    role: values.get('role') ?? '',
    host: values.get('host') ?? '',
    capabilities: (values.get('caps') ?? '').split(',').filter((one) => one !== ''),
  }
}

function hexOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined || !/^[0-9a-f]{64}$/i.test(text)) return undefined
  return new Uint8Array(Buffer.from(text, 'hex'))
}
