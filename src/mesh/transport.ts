/**
 * What the bus needs of whatever carries its bytes: connections between agents, each end of
 * which knows the other's public key for certain, and streams on them.
 *
 * Every method that waits is told to stop by closing what it waits on: closing a connection
 * ends its streams, closing a transport ends its connections.
 *
 * @module
 */

/** Where an agent is. */
export interface Peer {
  /** The agent's public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** `host:port`, as the transport reads them; any may answer. */
  readonly addresses: readonly string[]
}

/** One agent's end of the network. */
export interface Transport {
  /** The public key that others find at this end, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Where this end listens: `host:port`. */
  readonly addresses: readonly string[]

  /**
   * Connect to the holder of `peer.publicKey`, and to nobody else.
   * @param signal gives the attempt up.
   * @throws UnreachableError, TransportError, MeshClosedError.
   */
  dial(peer: Peer, signal: AbortSignal): Promise<Connection>

  /** The next connection that somebody else made; `undefined` once the transport is closed. */
  accept(): Promise<Connection | undefined>

  /** Close everything and let the process end. Does nothing the second time. */
  close(): Promise<void>
}

/** A connection to one agent. */
export interface Connection {
  /** The public key that the other end has proved to hold. */
  readonly remoteKey: Uint8Array
  /** Where the other end was seen, as an address to dial; `undefined` when it cannot be told. */
  readonly remoteAddress: string | undefined

  /** Open a stream. The other end learns of it with the first bytes. @throws PeerClosedError. */
  openStream(): Promise<Stream>

  /** The next stream that the other end opened; `undefined` once the connection is closed. */
  acceptStream(): Promise<Stream | undefined>

  /** Close, at once and with everything on it. Does nothing the second time. */
  close(): void
}

/** Bytes in both directions. One read and one write at a time. */
export interface Stream {
  /**
   * Some of the bytes that the other end wrote, at least one; `undefined` at their end.
   * @throws PeerClosedError when the connection is lost.
   */
  read(): Promise<Uint8Array | undefined>

  /** Write all of the bytes; waits while the other end has no room. @throws PeerClosedError. */
  write(bytes: Uint8Array): Promise<void>

  /**
   * End our half, and wait until the other end's network stack has everything, or wants no more.
   * That it was processed is not said.
   * @throws PeerClosedError when the connection is lost before.
   */
  finish(): Promise<void>

  /** Want no more of this stream, in either direction. Nothing is thrown. */
  abandon(): Promise<void>
}
