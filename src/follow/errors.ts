/**
 * What can go wrong while a store is followed, beyond what reading it throws.
 *
 * @module
 */
import { nameErrors, quote } from '#shared'
import { type Head, StoreError } from '../index.ts'

/**
 * A cursor points at an entry that this store does not have: it belongs to another store, or
 * this one lost its end. Start from a cursor of this store, or from the beginning.
 */
export class CursorError extends StoreError {
  readonly code = 'STORE_CURSOR'
  readonly stream: string
  readonly writer: string
  readonly cursor: Head
  /** What the store has at that seq; `null` for nothing. */
  readonly stored: Head | null

  constructor(stream: string, writer: string, cursor: Head, stored: Head | null) {
    super(
      `the cursor is at stream ${quote(stream)} writer ${quote(writer)} seq ${cursor.seq}, where this store has ` +
        `${stored === null ? 'nothing' : 'another entry'}; is it the cursor of another store? Start from one of this store`,
    )
    this.stream = stream
    this.writer = writer
    this.cursor = cursor
    this.stored = stored
  }
}

/**
 * A consumer's stored cursor was not where the caller took it to be: another process of the
 * same consumer has moved it. Nothing was moved; read the cursor and go on from there.
 */
export class StaleCursorError extends StoreError {
  readonly code = 'STORE_STALE_CURSOR'
  readonly consumer: string
  readonly stream: string
  readonly writer: string
  /** Where the caller took it to be; `null` for the start of the log. */
  readonly expected: Head | null

  constructor(consumer: string, stream: string, writer: string, expected: Head | null) {
    super(
      `consumer ${quote(consumer)} is not at seq ${expected?.seq ?? 0n} of stream ${quote(stream)} writer ${quote(writer)}; ` +
        'another process has moved it: read its cursor and go on from there',
    )
    this.consumer = consumer
    this.stream = stream
    this.writer = writer
    this.expected = expected
  }
}

/**
 * A bell announced an entry with another hash than the one that this store has in its place: two
 * histories of one log, or a corrupt one. Entries of that log are held back until they agree.
 */
export class ForkError extends StoreError {
  readonly code = 'STORE_FORK'
  readonly stream: string
  readonly writer: string
  readonly announced: Head
  readonly stored: Head

  constructor(stream: string, writer: string, announced: Head, stored: Head) {
    super(
      `stream ${quote(stream)} writer ${quote(writer)} seq ${announced.seq} was announced with another hash than ` +
        'this store has; find out which of the two histories is true before you go on',
    )
    this.stream = stream
    this.writer = writer
    this.announced = announced
    this.stored = stored
  }
}

nameErrors({ CursorError, StaleCursorError, ForkError })
