/**
 * A server inside of this process: PGlite, through its synchronous raw-protocol call.
 *
 * For tests and experiments. It never flushes to disk and does not lock its folder, so what it
 * acknowledges can be lost and two processes can ruin it; whoever uses it has to say so. One
 * backend has it at a time, since it has a single session.
 *
 * @module
 */
import { ConnectionError, PolicyError } from '../index.ts'
import { PgConnection } from './connection.ts'
import type { Listener } from './protocol/wire.ts'
import type { Transport } from './pump/transport.ts'
import type { Session } from './servers.ts'

/** A PGlite that is ready, by shape: `await PGlite.create()` gives one. */
export interface Pglite {
  readonly ready: boolean
  readonly closed: boolean
  execProtocolRawSync(message: Uint8Array): Uint8Array
}

/** What must be said to use it. */
export interface PgliteOptions {
  /** `'none'`: that an acknowledged write may be lost is known and accepted. */
  readonly durability: 'none'
}

const used = new WeakSet<Pglite>()

/** The session of a PGlite. @throws PolicyError when it is closed, or has a backend already. */
export function openPglite(pglite: Pglite, options: PgliteOptions, listener: Listener): Session {
  if (options?.durability !== 'none') {
    throw new PolicyError(
      "PGlite does not flush what it acknowledges, and does not lock its folder; say { durability: 'none' } " +
        'to use it all the same, or PgBackend.connect for a server',
    )
  }
  if (!pglite.ready || pglite.closed)
    throw new PolicyError('this PGlite is not open; await PGlite.create()')
  if (used.has(pglite)) {
    throw new PolicyError('this PGlite has a backend already, and only one session; use that one')
  }
  const transport = new InProcess(pglite)
  const connection = PgConnection.open(
    transport,
    {
      credentials: {
        user: 'postgres',
        password: () => undefined,
        isPrivate: true,
        channelBinding: 'disable',
      },
      database: 'postgres',
      parameters: {},
      unnamed: false,
      connectTimeoutMs: 0,
      deadlineMs: 0,
    },
    listener,
  )
  // Its session outlives our connections, and what they have prepared with it.
  connection.control('DEALLOCATE ALL')
  used.add(pglite)
  return {
    connection,
    name: 'PGlite in this process',
    isPooled: false,
    identity: undefined,
  }
}

class InProcess implements Transport {
  readonly certificate = undefined
  readonly #pglite: Pglite
  #asked: Uint8Array[] = []
  #closed = false

  constructor(pglite: Pglite) {
    this.#pglite = pglite
  }

  send(bytes: Uint8Array): void {
    this.#asked.push(bytes)
  }

  receive(): Uint8Array {
    if (this.#closed || this.#pglite.closed) throw new ConnectionError('this PGlite is closed')
    const asked = Buffer.concat(this.#asked)
    this.#asked = []
    const answer = this.#pglite.execProtocolRawSync(new Uint8Array(asked))
    if (answer.length === 0) throw new ConnectionError('PGlite gave no answer')
    return answer
  }

  poll(): undefined {
    return undefined
  }

  onArrival(): void {
    // It says nothing of its own accord.
  }

  keepAlive(): void {
    // It waits for nothing.
  }

  /** The PGlite is the consumer's own, and stays open. */
  close(): void {
    this.#closed = true
    used.delete(this.#pglite)
  }

  destroy(): void {
    this.close()
  }
}
