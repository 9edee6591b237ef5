/**
 * Who can be dialed: a list that somebody wrote down, or what a discovery has found.
 *
 * @module
 */
import { isIP } from 'node:net'
import { checkBytes, quote } from '#shared'
import { Fingerprint } from '../../index.ts'
import type { Peer } from '../transport.ts'

/** Knows where agents are. What it says is a claim: the connection and the handshake decide. */
export interface PeerSource {
  /**
   * Where an agent is; `undefined` when nobody knows.
   * @param signal gives the search up.
   */
  resolve(agent: Fingerprint, signal: AbortSignal): Promise<Peer | undefined>

  /** Every agent known now. */
  list(): readonly Peer[]
}

/** Peers that were written down. */
export class PeerList implements PeerSource {
  readonly #peers = new Map<string, Peer>()

  /** @throws TypeError, RangeError when one has no public key. */
  constructor(peers: Iterable<Peer> = []) {
    for (const peer of peers) this.add(peer)
  }

  /** Add a peer, or move it. @throws TypeError, RangeError. */
  add(peer: Peer): void {
    const publicKey = peer.publicKey.slice()
    this.#peers.set(fingerprintOf(peer).toHex(), { publicKey, addresses: [...peer.addresses] })
  }

  /** Forget a peer. @returns whether it was known. */
  remove(agent: Fingerprint): boolean {
    return this.#peers.delete(agent.toHex())
  }

  async resolve(agent: Fingerprint): Promise<Peer | undefined> {
    return this.#peers.get(agent.toHex())
  }

  list(): readonly Peer[] {
    return [...this.#peers.values()]
  }
}

/** The fingerprint of a peer's key. @throws TypeError, RangeError. */
export function fingerprintOf(peer: Peer): Fingerprint {
  checkBytes('peer.publicKey', peer.publicKey, 32)
  return Fingerprint.fromEd25519Pubkey(peer.publicKey)
}

/**
 * Read `<64 hex digits of the public key>@<ip>:<port>`, with further addresses behind commas.
 * An IPv6 address stands in brackets.
 * @throws RangeError when it is anything else.
 *
 * @example
 * ```ts
 * parsePeer(`${publicKeyHex}@192.0.2.7:4433,[2001:db8::7]:4433`)
 * ```
 */
export function parsePeer(text: string): Peer {
  const match = /^([0-9a-f]{64})@(.+)$/i.exec(text)
  const addresses = match?.[2]?.split(',') ?? []
  if (match?.[1] === undefined || !addresses.every(isAddress)) {
    throw new RangeError(`peer must be <64 hex digits>@<ip>:<port>, got ${quote(text)}`)
  }
  return { publicKey: new Uint8Array(Buffer.from(match[1], 'hex')), addresses }
}

/** The text that {@link parsePeer} reads. */
export function formatPeer(peer: Peer): string {
  return `${Buffer.from(peer.publicKey).toString('hex')}@${peer.addresses.join(',')}`
}

function isAddress(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  if (match === null) return false
  const [, six = '', four = '', port] = match
  const isHost = six === '' ? isIP(four) === 4 : isIP(six) === 6
  return isHost && Number(port) >= 1 && Number(port) <= 65_535
}
