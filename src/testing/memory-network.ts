/**
 * A network within this process: for tests, and to try the bus out without sockets.
 *
 * It keeps the rules that the bus relies on: an end has the key that it was bound with, streams
 * hold back a writer whose reader is slow, and closing ends whatever waits.
 *
 * @module
 */
import { checkBytes, Queue } from '#shared'
import { Fingerprint } from '../index.ts'
import {
  type Connection,
  MeshClosedError,
  type Peer,
  PeerClosedError,
  type Stream,
  type Transport,
  UnreachableError,
} from '../mesh/index.ts'

/** How many bytes a writer may be ahead of its reader. */
const WINDOW_BYTES = 65_536

/** Ends that can dial each other. */
export class MemoryNetwork {
  readonly #ends = new Map<string, MemoryTransport>()

  /**
   * A new end, found under `publicKey`.
   * @throws TypeError, RangeError; RangeError too when another end has the key.
   */
  bind(publicKey: Uint8Array): Transport {
    checkBytes('publicKey', publicKey, 32)
    const name = nameOf(publicKey)
    if (this.#ends.has(name)) throw new RangeError(`publicKey is bound already: ${name}`)
    const end = new MemoryTransport(publicKey.slice(), {
      find: (key) => this.#ends.get(nameOf(key)),
      leave: () => void this.#ends.delete(name),
    })
    this.#ends.set(name, end)
    return end
  }
}

interface Links {
  readonly find: (key: Uint8Array) => MemoryTransport | undefined
  readonly leave: () => void
}

class MemoryTransport implements Transport {
  readonly publicKey: Uint8Array
  readonly addresses: readonly string[]
  readonly #links: Links
  readonly #incoming = new Queue<MemoryConnection>()
  readonly #connections = new Set<MemoryConnection>()
  #isClosed = false

  constructor(publicKey: Uint8Array, links: Links) {
    this.publicKey = publicKey
    this.addresses = [nameOf(publicKey)]
    this.#links = links
  }

  async dial(peer: Peer, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new MeshClosedError('the transport is closed')
    const other = this.#links.find(peer.publicKey)
    if (other === undefined || other === this) {
      throw new UnreachableError(`nobody answers as ${nameOf(peer.publicKey)}`)
    }
    const [ours, theirs] = MemoryConnection.pair(this, other)
    this.#keep(ours)
    other.#keep(theirs)
    other.#incoming.push(theirs)
    return ours
  }

  accept(): Promise<Connection | undefined> {
    return this.#incoming.next()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#links.leave()
    for (const connection of this.#connections) connection.close()
    this.#incoming.end()
  }

  #keep(connection: MemoryConnection): void {
    this.#connections.add(connection)
    connection.onClose = () => void this.#connections.delete(connection)
  }
}

class MemoryConnection implements Connection {
  readonly remoteKey: Uint8Array
  readonly remoteAddress: string
  onClose: () => void = () => {}
  readonly #incoming = new Queue<Stream>()
  readonly #pipes = new Set<Pipe>()
  #other: MemoryConnection | undefined
  #isClosed = false

  private constructor(remote: Transport) {
    this.remoteKey = remote.publicKey
    this.remoteAddress = nameOf(remote.publicKey)
  }

  static pair(from: Transport, to: Transport): [MemoryConnection, MemoryConnection] {
    const ours = new MemoryConnection(to)
    const theirs = new MemoryConnection(from)
    ours.#other = theirs
    theirs.#other = ours
    return [ours, theirs]
  }

  async openStream(): Promise<Stream> {
    const other = this.#other
    if (this.#isClosed || other === undefined) throw closed()
    const there = new Pipe()
    const back = new Pipe()
    for (const pipe of [there, back]) {
      this.#pipes.add(pipe)
      other.#pipes.add(pipe)
    }
    const drop = () => {
      for (const pipe of [there, back]) {
        this.#pipes.delete(pipe)
        other.#pipes.delete(pipe)
      }
    }
    let isAnnounced = false
    const announce = () => {
      if (!isAnnounced) other.#incoming.push(new MemoryStream(there, back, () => {}, drop))
      isAnnounced = true
    }
    return new MemoryStream(back, there, announce, drop)
  }

  acceptStream(): Promise<Stream | undefined> {
    return this.#incoming.next()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#incoming.end()
    for (const pipe of this.#pipes) pipe.cut()
    this.onClose()
    this.#other?.close()
  }
}

class MemoryStream implements Stream {
  readonly #in: Pipe
  readonly #out: Pipe
  readonly #announce: () => void
  readonly #drop: () => void

  constructor(input: Pipe, output: Pipe, announce: () => void, drop: () => void) {
    this.#in = input
    this.#out = output
    this.#announce = announce
    this.#drop = drop
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#in.read()
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#announce()
    await this.#out.write(bytes)
  }

  async finish(): Promise<void> {
    this.#announce()
    // What lies in the window has reached the other end, as bytes in its QUIC stack have.
    this.#out.end()
  }

  async abandon(): Promise<void> {
    this.#in.stop()
    if (!this.#out.isOver) this.#out.end()
    if (this.#out.isOver) this.#drop()
  }
}

/** One direction of a stream. */
class Pipe {
  readonly #chunks: Uint8Array[] = []
  #length = 0
  #isEnded = false
  #isStopped = false
  #isCut = false
  #waiting: (() => void)[] = []

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        this.#length -= chunk.length
        this.#changed()
        return chunk
      }
      if (this.#isEnded || this.#isStopped) return undefined
      if (this.#isCut) throw closed()
      await this.#change()
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#isCut || this.#isStopped || this.#isEnded) throw closed()
      const room = WINDOW_BYTES - this.#length
      if (room > 0) {
        const chunk = bytes.slice(at, at + room)
        this.#chunks.push(chunk)
        this.#length += chunk.length
        at += chunk.length
        this.#changed()
      } else await this.#change()
    }
  }

  /** @throws PeerClosedError when the connection is gone. */
  end(): void {
    if (this.#isCut) throw closed()
    this.#isEnded = true
    this.#changed()
  }

  stop(): void {
    this.#isStopped = true
    this.#chunks.length = 0
    this.#length = 0
    this.#changed()
  }

  cut(): void {
    this.#isCut = true
    this.#changed()
  }

  get isOver(): boolean {
    return this.#isCut || this.#isStopped || (this.#isEnded && this.#length === 0)
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

function closed(): PeerClosedError {
  return new PeerClosedError('the connection is closed')
}

function nameOf(publicKey: Uint8Array): string {
  return `memory:${Fingerprint.fromEd25519Pubkey(publicKey).short()}`
}
