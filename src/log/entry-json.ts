/**
 * The JSON forms of entries and commit events:
 * integers as decimal strings, hashes as lower-case hex, payloads as base64.
 *
 * @module
 */
import { checkInt64, checkText, typeName } from '../contract/arguments.ts'
import type { CommitEvent, Entry } from '../contract/entry.ts'
import { quote } from '../contract/errors.ts'

/** The JSON form of a commit event. */
export interface CommitEventJson {
  readonly stream: string
  readonly writer: string
  /** Decimal. */
  readonly seq: string
  /** 64 lower-case hex digits. */
  readonly contentHash: string
}

/** The JSON form of an entry. */
export interface EntryJson extends CommitEventJson {
  readonly prevHash: string | null
  /** Base64. */
  readonly payload: string
}

/** The JSON form of `event`; an entry will do. */
export function commitEventToJson(event: CommitEvent): CommitEventJson {
  return {
    stream: event.stream,
    writer: event.writer,
    seq: String(event.seq),
    contentHash: hex(event.contentHash),
  }
}

/** Back from the JSON form. @throws TypeError, RangeError that name the field. */
export function commitEventFromJson(json: unknown): CommitEvent {
  const fields = object(json)
  const { stream, writer } = fields
  checkText('stream', stream)
  checkText('writer', writer)
  return {
    stream,
    writer,
    seq: parseSeq(fields.seq),
    contentHash: parseHash('contentHash', fields.contentHash),
  }
}

/** The JSON form of `entry`. */
export function entryToJson(entry: Entry): EntryJson {
  return {
    ...commitEventToJson(entry),
    prevHash: entry.prevHash === null ? null : hex(entry.prevHash),
    payload: Buffer.from(entry.payload).toString('base64'),
  }
}

/**
 * Back from the JSON form. The hash is not recomputed: compare with `chainHash`.
 * @throws TypeError, RangeError that name the field.
 */
export function entryFromJson(json: unknown): Entry {
  const fields = object(json)
  const { prevHash, payload } = fields
  const event = commitEventFromJson(fields)
  if ((prevHash === null) !== (event.seq === 1n)) {
    throw new RangeError(`prevHash must be null for seq 1 and only there, got ${quote(prevHash)}`)
  }
  return {
    ...event,
    prevHash: prevHash === null ? null : parseHash('prevHash', prevHash),
    payload: parseBase64(payload),
  }
}

/** Lower-case hex. @internal */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

function object(json: unknown): Record<string, unknown> {
  if (typeof json !== 'object' || json === null) {
    throw new TypeError(`json must be an object, got ${typeName(json)}`)
  }
  return json as Record<string, unknown>
}

function parseSeq(value: unknown): bigint {
  if (typeof value !== 'string' || !/^[1-9][0-9]*$/.test(value)) {
    throw new TypeError(`seq must be a decimal string from 1, got ${quote(value)}`)
  }
  const seq = BigInt(value)
  checkInt64('seq', seq, 1n)
  return seq
}

function parseHash(field: string, value: unknown): Uint8Array {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) {
    throw new TypeError(`${field} must be 64 lower-case hex digits, got ${quote(value)}`)
  }
  return new Uint8Array(Buffer.from(value, 'hex'))
}

function parseBase64(value: unknown): Uint8Array {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'base64')
    if (bytes.toString('base64') === value) return new Uint8Array(bytes)
  }
  throw new TypeError(`payload must be base64, got ${quote(value)}`)
}
