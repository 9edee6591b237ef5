/**
 * The worker thread that pumps for all connections of this thread.
 *
 * A thread takes some thirty milliseconds to start, and a connection a few: so there is one,
 * started by the first connection and kept. Each connection has its own memory and its own port,
 * and when one is given up the others do not notice. When the worker itself ends, or has to be
 * ended because it does not answer, it takes all of its connections with it, and the next one
 * starts another.
 *
 * @module
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { Commission } from './commission.ts'
import { WORKER_CODE } from './worker-code.ts'

/** Called when the worker has ended, and with it the connection. */
export type Bereaved = (reason: string) => void

let current: PumpWorker | undefined

/** A worker, and those who depend on it. */
export class PumpWorker {
  readonly #worker: Worker
  /** 1 when it has ended. By memory, since the thread that is to know may be in a call. */
  readonly #ended = new Int32Array(new SharedArrayBuffer(4))
  readonly #dependents = new Set<Bereaved>()

  private constructor() {
    this.#worker = new Worker(WORKER_CODE, {
      eval: true,
      env: {},
      execArgv: [],
      workerData: this.#ended,
    })
    // An event without a listener would be thrown.
    this.#worker.on('error', (error) => this.end(String(error).slice(0, 200)))
    this.#worker.on('exit', () => this.end('it has left'))
    this.#worker.unref()
  }

  /** The one that runs; it is started if there is none. Returns before it is up. */
  static start(): PumpWorker {
    if (current === undefined || current.#hasEnded) current = new PumpWorker()
    return current
  }

  /** Have it make a connection. The port keeps no process alive until it is told to. */
  connect(commission: Commission, bereaved: Bereaved): MessagePort {
    const { port1, port2 } = new MessageChannel()
    this.#dependents.add(bereaved)
    this.#worker.postMessage({ ...commission, port: port2 }, [port2])
    // When it ended meanwhile, it may have looked for late commissions before this one was there.
    if (this.#hasEnded) this.end('it has left')
    return port1
  }

  /** A connection is over. */
  release(bereaved: Bereaved): void {
    this.#dependents.delete(bereaved)
  }

  /** End it, if it has not, and tell everybody. */
  end(reason: string): void {
    Atomics.store(this.#ended, 0, 1)
    const dependents = [...this.#dependents]
    this.#dependents.clear()
    for (const bereaved of dependents) bereaved(reason)
    void this.#worker.terminate()
  }

  get #hasEnded(): boolean {
    return Atomics.load(this.#ended, 0) === 1
  }
}
