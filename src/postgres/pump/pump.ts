/**
 * A socket for a thread that must not wait by Promise: a worker moves the bytes, and this
 * thread sleeps on shared memory until they are there.
 *
 * Whatever ends the worker (an error, an exit) ends the wait. A wait without news ends at its
 * deadline. A connection never keeps a process alive unless it is told to.
 *
 * @module
 */
import type { MessagePort } from 'node:worker_threads'
import { ConnectionError, DeadlineError } from '../../index.ts'
import { CELL, type PumpTarget, STATE } from './commission.ts'
import { PumpWorker } from './pump-worker.ts'
import type { Transport } from './transport.ts'

const RING_BYTES = 256 * 1024
const INFO_BYTES = 32 * 1024
const SPIN_MS = 0.4
/** Within this time a worker answers even on a busy machine; one that does not is ended. */
const ALIVE_MS = 1000
/** After so many futile spins in a row, only every so manieth wait is tried. */
const MISSES = 4
const RETRY_EVERY = 32

/** A {@link Transport} over TCP, a unix socket or TLS. */
export class SocketPump implements Transport {
  readonly #worker: PumpWorker
  readonly #port: MessagePort
  readonly #control = new Int32Array(new SharedArrayBuffer(4 * 8))
  readonly #ring = new Uint8Array(new SharedArrayBuffer(RING_BYTES))
  readonly #info = new Uint8Array(new SharedArrayBuffer(INFO_BYTES))
  #closed = false
  #misses = 0
  #waits = 0
  #listener: (() => void) | null = null
  certificate: Uint8Array | undefined

  private constructor(target: PumpTarget) {
    const [control, ring, info] = [this.#control, this.#ring, this.#info]
    this.#worker = PumpWorker.start()
    this.#port = this.#worker.connect({ control, ring, info, target }, this.#bereaved)
    this.#port.on('message', () => this.#arrived())
    this.#port.unref()
  }

  /**
   * Connect, with TLS where the target has it.
   * @throws ConnectionError, with the system's error code as `driverCode`.
   * @throws DeadlineError when it takes longer than `deadlineMs`.
   */
  static connect(target: PumpTarget, deadlineMs: number): SocketPump {
    const pump = new SocketPump(target)
    const outcome = pump.#waitFor(() => pump.#outcome(), deadlineMs)
    if (outcome === STATE.ended) {
      pump.destroy()
      throw pump.#end()
    }
    const certificate = pump.#text(CELL.certificate, 0)
    if (certificate !== '') pump.certificate = Buffer.from(certificate, 'base64')
    return pump
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) throw new ConnectionError('the connection is closed')
    this.#port.postMessage(bytes)
  }

  receive(deadlineMs: number): Uint8Array {
    return this.#waitFor(() => this.poll(), deadlineMs)
  }

  poll(): Uint8Array | undefined {
    if (this.#closed) return undefined
    // Before the bytes are counted: those that came before the end are there by then.
    const isEnded = Atomics.load(this.#control, CELL.state) === STATE.ended
    const size = this.#available()
    if (size === 0) {
      if (isEnded) throw this.#end()
      return undefined
    }
    const read = Atomics.load(this.#control, CELL.read)
    const at = (read >>> 0) % RING_BYTES
    const first = Math.min(size, RING_BYTES - at)
    const bytes = new Uint8Array(size)
    bytes.set(this.#ring.subarray(at, at + first))
    bytes.set(this.#ring.subarray(0, size - first), first)
    Atomics.store(this.#control, CELL.read, (read + size) | 0)
    if (Atomics.load(this.#control, CELL.backlog) === 1) this.#port.postMessage('drain')
    return bytes
  }

  onArrival(listener: (() => void) | null): void {
    this.#listener = listener
    Atomics.store(this.#control, CELL.bell, listener === null ? 0 : 1)
  }

  keepAlive(on: boolean): void {
    if (this.#closed) return
    if (on) this.#port.ref()
    else this.#port.unref()
  }

  close(): void {
    this.#leave('close')
  }

  destroy(): void {
    this.#leave('destroy')
  }

  #leave(how: 'close' | 'destroy'): void {
    if (this.#closed) return
    this.#closed = true
    this.#port.postMessage(how)
    this.#port.unref()
    this.#worker.release(this.#bereaved)
  }

  /** What has become of the socket, once that is known. */
  #outcome(): number | undefined {
    const state = Atomics.load(this.#control, CELL.state)
    return state === STATE.connecting ? undefined : state
  }

  #available(): number {
    return (
      (Atomics.load(this.#control, CELL.written) - Atomics.load(this.#control, CELL.read)) >>> 0
    )
  }

  #waitFor<T>(look: () => T | undefined, deadlineMs: number): T {
    const end = performance.now() + deadlineMs
    for (;;) {
      const seen = Atomics.load(this.#control, CELL.signal)
      const found = look()
      if (found !== undefined) return found
      const leftMs = end - performance.now()
      if (leftMs <= 0 || this.#closed) {
        this.#giveUp()
        throw new DeadlineError(`no answer from the server within ${deadlineMs} ms`)
      }
      if (!this.#spin(seen)) Atomics.wait(this.#control, CELL.signal, seen, leftMs)
    }
  }

  /** The server may be at fault, or the worker: that one answers at once, or is ended. */
  #giveUp(): void {
    this.destroy()
    const end = performance.now() + ALIVE_MS
    for (;;) {
      const seen = Atomics.load(this.#control, CELL.signal)
      if (Atomics.load(this.#control, CELL.state) === STATE.ended) return
      const leftMs = end - performance.now()
      if (leftMs <= 0) break
      Atomics.wait(this.#control, CELL.signal, seen, leftMs)
    }
    this.#worker.end('it does not answer')
  }

  /**
   * Look again and again for a moment, since to sleep and to be woken can cost more than a quick
   * answer takes. Where answers take longer, it is seldom tried.
   * @returns whether there is news.
   */
  #spin(seen: number): boolean {
    if (this.#misses >= MISSES && ++this.#waits % RETRY_EVERY !== 0) return false
    const end = performance.now() + SPIN_MS
    do {
      if (Atomics.load(this.#control, CELL.signal) !== seen) {
        this.#misses = 0
        return true
      }
    } while (performance.now() < end)
    this.#misses++
    return false
  }

  #arrived(): void {
    // Before the bytes are looked at: what comes from now on rings again.
    Atomics.compareExchange(this.#control, CELL.bell, 2, 1)
    this.#listener?.()
  }

  /** One that was killed, for its use of memory, could not say so itself. */
  readonly #bereaved = (reason: string): void => {
    if (Atomics.load(this.#control, CELL.state) !== STATE.ended) {
      const detail = { code: 'EWORKER', message: `the connection's worker ended: ${reason}` }
      const half = this.#info.subarray(INFO_BYTES / 2)
      const { written } = new TextEncoder().encodeInto(JSON.stringify(detail), half)
      Atomics.store(this.#control, CELL.reason, written)
      Atomics.store(this.#control, CELL.state, STATE.ended)
    }
    // Never from inside of a call, and another connection's call may have found it out.
    queueMicrotask(() => this.#arrived())
  }

  /** Why it has ended. */
  #end(): ConnectionError {
    const reason: { readonly code: string; readonly message?: string } = JSON.parse(
      this.#text(CELL.reason, INFO_BYTES / 2),
    )
    // Of several addresses that failed, Node has no message of its own.
    return new ConnectionError(reason.message || reason.code, { driverCode: reason.code })
  }

  #text(length: number, at: number): string {
    return Buffer.from(this.#info.slice(at, at + Atomics.load(this.#control, length))).toString()
  }
}
