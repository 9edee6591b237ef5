/**
 * How long a peer may take, and how much of it is held.
 *
 * @module
 */
import { ENVELOPE_FRAME_BYTES } from './frame.ts'

/** Bounds on what a bus does for its peers. Times are in milliseconds. */
export interface BusLimits {
  /** To find a peer by its fingerprint. Default 5,000. */
  readonly resolveTimeoutMs: number
  /** To connect. Default 10,000. */
  readonly dialTimeoutMs: number
  /** For a handshake, on either side, and for a stranger's first stream. Default 5,000. */
  readonly handshakeTimeoutMs: number
  /** To send or to receive one envelope. Default 10,000. */
  readonly envelopeTimeoutMs: number
  /** The largest envelope that is received, in bytes of JSON. Default 16,777,216, the most. */
  readonly maxEnvelopeBytes: number
  /** Connections that others have open to us. Further ones are closed at once. Default 256. */
  readonly maxConnections: number
  /** Messages that wait for one peer. Default 256. */
  readonly maxBacklog: number
  /** Requests of others that are being answered. Further ones are dropped. Default 64. */
  readonly maxRequests: number
}

const DEFAULT_LIMITS: BusLimits = {
  resolveTimeoutMs: 5_000,
  dialTimeoutMs: 10_000,
  handshakeTimeoutMs: 5_000,
  envelopeTimeoutMs: 10_000,
  maxEnvelopeBytes: ENVELOPE_FRAME_BYTES,
  maxConnections: 256,
  maxBacklog: 256,
  maxRequests: 64,
}

/** The defaults with what was given instead. @throws TypeError, RangeError. */
export function completeLimits(given: Partial<BusLimits>): BusLimits {
  const limits = { ...DEFAULT_LIMITS }
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof BusLimits)[]) {
    const value = given[name]
    if (value === undefined) continue
    if (typeof value !== 'number') throw new TypeError(`limits.${name} must be a number`)
    const most = name === 'maxEnvelopeBytes' ? ENVELOPE_FRAME_BYTES : 2 ** 31 - 1
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new RangeError(`limits.${name} must be a whole number from 1 to ${most}, got ${value}`)
    }
    limits[name] = value
  }
  return limits
}
