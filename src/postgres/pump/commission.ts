/**
 * A connection as the calling thread and the worker share it: the order to make it, and the memory
 * through which they talk.
 *
 * @module
 */

/** Cells of a connection's control array. */
export const CELL = {
  /** Goes up whenever there is news; the caller's thread waits on it. */
  signal: 0,
  /** One of {@link STATE}. */
  state: 1,
  /** Bytes ever written to the ring, modulo 2^32. */
  written: 2,
  /** Bytes ever taken out of the ring, modulo 2^32. */
  read: 3,
  /** 1: the worker holds bytes that did not fit. */
  backlog: 4,
  /** 1: post a message on arrival; 2: posted, not yet seen. */
  bell: 5,
  /** Length of the certificate in base64, at the start of the info array. */
  certificate: 6,
  /** Length of the JSON text in the other half of the info array, which says why the connection ended. */
  reason: 7,
} as const

/** The states of the socket. */
export const STATE = { connecting: 0, open: 1, ended: 2 } as const

/** PEM texts; `serverName` is the name or address that the certificate must be for. */
export interface PumpTls {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly serverName: string
}

/** Where to connect to. */
export type PumpTarget = (
  | { readonly host: string; readonly port: number; readonly path?: undefined }
  | { readonly path: string }
) & { readonly tls?: PumpTls }

/** The memory of one connection. */
export interface SharedMemory {
  /** The cells of {@link CELL}. */
  readonly control: Int32Array<SharedArrayBuffer>
  /** Bytes from the server, written round and round. */
  readonly ring: Uint8Array<SharedArrayBuffer>
  /** Two texts, each in a half of its own: one may be read while the other is written. */
  readonly info: Uint8Array<SharedArrayBuffer>
}

/** The order to make a connection. */
export interface Commission extends SharedMemory {
  readonly target: PumpTarget
}

/** A message of the caller's thread to the worker: bytes to send, room in the ring, or an end. */
export type Command = Uint8Array | 'drain' | 'close' | 'destroy'
