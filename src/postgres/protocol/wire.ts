/**
 * The wire to a server: messages there and back, and whatever the server says unasked.
 *
 * Whatever goes wrong while it is used (an answer that does not come, bytes that are no answer,
 * the end of the connection) poisons it: it is closed at once and never used again, since a late
 * answer would be read as that of the next call.
 *
 * @module
 */
import { ConnectionError, StoreError } from '../../index.ts'
import type { Transport } from '../pump/transport.ts'
import { MessageReader } from './message-reader.ts'
import { MessageWriter } from './message-writer.ts'
import { hungUp, type Notification, readNotification, readServerError } from './server-message.ts'

/** What the server is in the midst of: nothing, a transaction, one that failed. */
export type Status = 'I' | 'T' | 'E'

/** What is done with what the server says unasked. */
export interface Listener {
  notification(notification: Notification): void
  /** The session has ended, and was not closed by us. Called once. */
  lost(reason: StoreError): void
}

/** Messages over a transport, and what the server has said of itself. */
export class Wire {
  readonly reader: MessageReader
  readonly writer: MessageWriter = new MessageWriter()
  readonly #transport: Transport
  readonly #listener: Listener
  readonly #parameters = new Map<string, string>()
  #deadlineMs: number
  #status: Status = 'I'
  #isOpen = false
  #lost: StoreError | undefined

  constructor(transport: Transport, listener: Listener, connectTimeoutMs: number) {
    this.#transport = transport
    this.#listener = listener
    this.#deadlineMs = connectTimeoutMs
    this.reader = new MessageReader(() => transport.receive(this.#deadlineMs))
  }

  /** The server's certificate in DER, over TLS. */
  get certificate(): Uint8Array | undefined {
    return this.#transport.certificate
  }

  /** As the server said when it was last ready; `'I'` after a loss. */
  get status(): Status {
    return this.#status
  }

  /** Why it cannot be used any more. */
  get lost(): StoreError | undefined {
    return this.#lost
  }

  /** A run-time parameter that the server reports by itself: `server_version`, … */
  parameter(name: string): string | undefined {
    return this.#parameters.get(name)
  }

  /** The session has begun: from now on its end is told, and each wait is this long. */
  opened(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs
    this.#isOpen = true
  }

  /** Do `work`, in which no wait is too long. */
  patiently<T>(work: () => T): T {
    const deadlineMs = this.#deadlineMs
    this.#deadlineMs = Number.POSITIVE_INFINITY
    try {
      return work()
    } finally {
      this.#deadlineMs = deadlineMs
    }
  }

  /** Do `work`; whatever is thrown in it makes the wire useless. */
  guard(work: () => void): void {
    if (this.#lost !== undefined) throw this.#lost
    try {
      work()
    } catch (error) {
      this.writer.reset()
      this.#transport.destroy()
      this.#status = 'I'
      this.#lost =
        error instanceof StoreError
          ? error
          : new ConnectionError(`the connection was given up: ${String(error)}`, { cause: error })
      if (this.#isOpen) this.#listener.lost(this.#lost)
      throw this.#lost
    }
  }

  /** Hand over what was written. */
  send(): void {
    this.#transport.send(this.writer.take())
  }

  /** Take in what came since the last call: notifications, or that the server has hung up. */
  takeNews(): void {
    this.guard(() => {
      // What was said before the end is read before the end is reported.
      for (;;) {
        while (this.reader.hasMessage) this.unasked(this.reader.next())
        const bytes = this.#transport.poll()
        if (bytes === undefined) break
        this.reader.push(bytes)
      }
    })
  }

  /** Read a message that may come at any time. */
  unasked(type: string): void {
    if (type === 'S') this.setParameter()
    else if (type === 'A') this.#listener.notification(readNotification(this.reader))
    else if (type === 'N')
      readServerError(this.reader) // A warning that belongs to no call.
    else if (type === 'E') throw hungUp(readServerError(this.reader))
    else throw this.unexpected(type)
  }

  /** Read a ParameterStatus. */
  setParameter(): void {
    const name = this.reader.cstring()
    this.#parameters.set(name, this.reader.cstring())
  }

  /** Read a ReadyForQuery. */
  setStatus(): void {
    const letter = String.fromCharCode(this.reader.byte())
    if (letter !== 'I' && letter !== 'T' && letter !== 'E') throw this.unexpected(`Z ${letter}`)
    this.#status = letter
  }

  unexpected(type: string): ConnectionError {
    return new ConnectionError(`the server sent ${JSON.stringify(type)} where it has no place`)
  }

  /** Call `listener` from the event loop when the server has news; null to stop. */
  onNews(listener: (() => void) | null): void {
    this.#transport.onArrival(listener)
  }

  keepAlive(on: boolean): void {
    this.#transport.keepAlive(on)
  }

  /** Say good-bye and hang up. */
  close(): void {
    if (this.#lost !== undefined) return
    this.#lost = new ConnectionError('the connection is closed')
    this.writer.begin('X').end()
    this.send()
    this.#transport.close()
  }
}
