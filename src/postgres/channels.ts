/**
 * Who listens to which channel of the server, and handing notifications to the event loop.
 *
 * @module
 */
import { quote } from '#shared'
import type { StoreError } from '../index.ts'
import type { Notification } from './protocol/server-message.ts'

/** Hears a channel. */
export interface ChannelListener {
  notification(notification: Notification): void
  /** The connection was lost: what was sent since, and until it is there again, is not heard. */
  interrupted?(reason: StoreError): void
}

const MOST_BYTES = 63

/** The channels of one backend. */
export class Channels {
  readonly #listeners = new Map<string, Set<ChannelListener>>()
  /** From the event loop, when bytes have arrived between two calls. */
  readonly onNews: () => void
  #waiting: Notification[] = []
  /** Whether notifications alone keep the process alive. */
  keepAlive = false

  /** @param onNews Reads what has arrived. */
  constructor(onNews: () => void) {
    this.onNews = onNews
  }

  /** @throws TypeError, RangeError when `channel` is no name that PostgreSQL keeps as it is. */
  static listenSql(channel: string): string {
    return `LISTEN ${identifier(channel)}`
  }

  static unlistenSql(channel: string): string {
    return `UNLISTEN ${identifier(channel)}`
  }

  names(): string[] {
    return [...this.#listeners.keys()]
  }

  /** @returns whether it is the first of its channel. */
  add(channel: string, listener: ChannelListener): boolean {
    const known = this.#listeners.get(channel)
    if (known !== undefined) {
      known.add(listener)
      return false
    }
    this.#listeners.set(channel, new Set([listener]))
    return true
  }

  /** @returns whether it was the last of its channel. */
  remove(channel: string, listener: ChannelListener): boolean {
    const known = this.#listeners.get(channel)
    known?.delete(listener)
    if (known === undefined || known.size > 0) return false
    return this.#listeners.delete(channel)
  }

  clear(): void {
    this.#listeners.clear()
  }

  /** Called by the connection, perhaps in the midst of a call: it is told later. */
  notification(notification: Notification): void {
    this.#waiting.push(notification)
    if (this.#waiting.length === 1) setImmediate(() => this.#tell())
  }

  /** Called by the connection when it has lost its server: everybody is told, later. */
  lost(reason: StoreError): void {
    const all = new Set([...this.#listeners.values()].flatMap((listeners) => [...listeners]))
    setImmediate(() => {
      for (const listener of all) attempt(() => listener.interrupted?.(reason))
    })
  }

  #tell(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const notification of waiting) {
      for (const listener of this.#listeners.get(notification.channel) ?? []) {
        attempt(() => listener.notification(notification))
      }
    }
  }
}

/** What a listener throws is its own fault: thrown on its own, so that the others are told. */
function attempt(tell: () => void): void {
  try {
    tell()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

function identifier(channel: string): string {
  if (typeof channel !== 'string' || channel === '' || channel.includes('\0')) {
    throw new TypeError(`channel must be a text without NUL, got ${quote(channel)}`)
  }
  if (Buffer.byteLength(channel) > MOST_BYTES) {
    throw new RangeError(`channel must have at most ${MOST_BYTES} bytes, got ${quote(channel)}`)
  }
  return `"${channel.replaceAll('"', '""')}"`
}
