/**
 * What the codec needs of whatever carries its bytes to a server: a socket that a worker
 * pumps, or a server in this process.
 *
 * @module
 */

/** Carries bytes to one server and back, without a Promise. */
export interface Transport {
  /** The server's TLS certificate in DER; `undefined` without TLS. */
  readonly certificate: Uint8Array | undefined

  /** Hand bytes over. They are on their way when `receive` is called, at the latest. */
  send(bytes: Uint8Array): void

  /**
   * Block until bytes have arrived, and return what is there, at least one byte. The array
   * belongs to the caller.
   * @throws DeadlineError when nothing came for `deadlineMs`.
   * @throws ConnectionError when nothing will come any more.
   */
  receive(deadlineMs: number): Uint8Array

  /**
   * What has arrived meanwhile, without waiting; `undefined` for nothing.
   * @throws ConnectionError when nothing will come any more.
   */
  poll(): Uint8Array | undefined

  /** Call `listener` from the event loop when bytes arrive between calls; null to stop. */
  onArrival(listener: (() => void) | null): void

  /** Let the process live on for arrivals alone, or not; at first it is not. */
  keepAlive(on: boolean): void

  /** Hang up, after what was sent has left. Does nothing the second time. */
  close(): void

  /** Hang up at once; nothing more is read or written. */
  destroy(): void
}
