/**
 * The transport of the real mesh: QUIC by iroh, direct UDP and no relay, each end's TLS key
 * being its agent's key. Talks with the Rust peers.
 *
 * `@number0/iroh` is an optional peer dependency, a native module, loaded at the first bind.
 * While an end is bound the process does not end by itself: close it. At bind iroh sends one
 * UPnP search into the local network, which cannot be switched off; and unset `RUST_BACKTRACE`,
 * with which each failure takes up to 100 ms.
 *
 * @module
 */

import type * as iroh from '@number0/iroh'
import { Queue } from '#shared'
import { formatPeer } from './discovery/peers.ts'
import {
  MeshClosedError,
  type MeshError,
  PeerClosedError,
  TransportError,
  UnreachableError,
} from './errors.ts'
import type { KeyPair } from './identity/keys.ts'
import type { Connection, Peer, Stream, Transport } from './transport.ts'

/** The protocol that both ends must name. */
const ALPN = [...Buffer.from('agent-mesh/v1')]

/** How much is handed over at once: iroh takes and gives bytes as arrays of numbers. */
const CHUNK_BYTES = 65_536

/** How many connections may be on their way to being accepted. */
const MAX_WAITING = 128

/** Where to listen. */
export interface IrohOptions {
  /**
   * `ip:port`, port 0 for one that the system chooses. Default `0.0.0.0:0`, and with it the
   * wildcard of IPv6. For this machine alone give `127.0.0.1:0` and `[::1]:0`: what is not given
   * stays open on all interfaces.
   */
  readonly listen?: readonly string[]
}

/** One agent's end on the network. */
export class IrohTransport implements Transport {
  readonly publicKey: Uint8Array
  readonly #module: typeof iroh
  readonly #endpoint: iroh.Endpoint
  readonly #accepted = new Queue<Connection>()
  #greeting = 0

  private constructor(publicKey: Uint8Array, module: typeof iroh, endpoint: iroh.Endpoint) {
    this.publicKey = publicKey
    this.#module = module
    this.#endpoint = endpoint
    void this.#listen()
  }

  /**
   * Listen under an agent's key, which no other running process may use.
   * @throws TransportError when `@number0/iroh` is not installed or has no binary for this
   *   machine, or when an address cannot be had.
   */
  static async bind(key: KeyPair, options: IrohOptions = {}): Promise<IrohTransport> {
    let module: typeof iroh
    try {
      // The file itself: the package names a main file that is not there.
      module = await import('@number0/iroh/index.js')
    } catch (cause) {
      throw new TransportError('the mesh needs the package @number0/iroh; install it', { cause })
    }
    try {
      const builder = module.Endpoint.builder()
      module.presetMinimal(builder)
      builder.relayMode(module.RelayMode.disabled())
      builder.secretKey([...key.exportSeed()])
      builder.alpns([ALPN])
      for (const address of options.listen ?? ['0.0.0.0:0']) builder.bindAddr(address)
      return new IrohTransport(key.publicKey, module, await builder.bind())
    } catch (cause) {
      throw new TransportError(`cannot listen: ${reasonOf(cause)}`, { cause })
    }
  }

  get addresses(): readonly string[] {
    return this.#endpoint.boundSockets()
  }

  async dial(peer: Peer, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    if (this.#endpoint.isClosed()) throw new MeshClosedError('the transport is closed')
    const { EndpointAddr, EndpointId } = this.#module
    let address: iroh.EndpointAddr
    try {
      const id = EndpointId.fromBytes([...peer.publicKey])
      address = new EndpointAddr(id, null, [...peer.addresses])
    } catch (cause) {
      throw new UnreachableError(`no address to dial: ${formatPeer(peer)}`, { cause })
    }
    try {
      return new IrohConnection(await this.#endpoint.connect(address, ALPN))
    } catch (cause) {
      if (this.#endpoint.isClosed()) throw new MeshClosedError('the transport is closed', { cause })
      throw new UnreachableError(`cannot reach ${formatPeer(peer)}: ${reasonOf(cause)}`, { cause })
    }
  }

  accept(): Promise<Connection | undefined> {
    return this.#accepted.next()
  }

  async close(): Promise<void> {
    if (!this.#endpoint.isClosed()) await this.#endpoint.close()
    this.#accepted.end()
  }

  async #listen(): Promise<void> {
    for (;;) {
      const incoming = await this.#endpoint.acceptNext().catch(() => null)
      if (incoming === null) return this.#accepted.end()
      if (this.#greeting + this.#accepted.size < MAX_WAITING) void this.#greet(incoming)
      else await incoming.refuse().catch(() => undefined)
    }
  }

  /** QUIC's own handshake, apart for each, so that one that stalls holds nobody up. */
  async #greet(incoming: iroh.Incoming): Promise<void> {
    this.#greeting++
    try {
      const accepting = await incoming.accept()
      this.#accepted.push(new IrohConnection(await accepting.connect()))
    } catch {
      // A stranger that does not finish it is nobody.
    } finally {
      this.#greeting--
    }
  }
}

class IrohConnection implements Connection {
  readonly remoteKey: Uint8Array
  readonly #connection: iroh.Connection

  constructor(connection: iroh.Connection) {
    this.#connection = connection
    this.remoteKey = Uint8Array.from(connection.remoteId().toBytes())
  }

  get remoteAddress(): string | undefined {
    const paths = this.#connection.paths().filter(({ isIp }) => isIp)
    return (paths.find(({ isSelected }) => isSelected) ?? paths[0])?.remoteAddr
  }

  async openStream(): Promise<Stream> {
    try {
      return new IrohStream(await this.#connection.openBi())
    } catch (cause) {
      throw lost(cause)
    }
  }

  async acceptStream(): Promise<Stream | undefined> {
    try {
      return new IrohStream(await this.#connection.acceptBi())
    } catch {
      return undefined
    }
  }

  close(): void {
    this.#connection.close(0n, [])
  }
}

class IrohStream implements Stream {
  readonly #send: iroh.SendStream
  readonly #receive: iroh.RecvStream
  #isFinished = false

  constructor(stream: iroh.BiStream) {
    this.#send = stream.send
    this.#receive = stream.recv
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      const bytes = await this.#receive.read(CHUNK_BYTES)
      return bytes.length === 0 ? undefined : Uint8Array.from(bytes)
    } catch (cause) {
      throw lost(cause)
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        await this.#send.writeAll([...bytes.subarray(at, at + CHUNK_BYTES)])
      }
    } catch (cause) {
      throw lost(cause)
    }
  }

  async finish(): Promise<void> {
    try {
      this.#isFinished = true
      await this.#send.finish()
    } catch (cause) {
      throw lost(cause)
    }
    // Resolves when everything is acknowledged; rejects too when the peer is gone after that.
    await this.#send.stopped().catch(() => undefined)
  }

  async abandon(): Promise<void> {
    // Both halves must be ended by hand: iroh frees them only when they are garbage.
    if (!this.#isFinished) await this.#send.finish().catch(() => undefined)
    this.#isFinished = true
    await this.#receive.stop(0n).catch(() => undefined)
  }
}

function lost(cause: unknown): MeshError {
  return new PeerClosedError(`the connection is gone: ${reasonOf(cause)}`, { cause })
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
}
