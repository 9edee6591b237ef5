/**
 * Topics: a name within one user's team. On the wire it stands behind the user's fingerprint,
 * so that two teams never meet on one topic.
 *
 * @module
 */
import { Fingerprint } from '../index.ts'
import { jsonString } from './json/canonical-json.ts'

/** A name and whose it is. The name may be any text, the empty one included. */
export interface Topic {
  readonly user: Fingerprint
  readonly name: string
}

/** `<64 lower-case hex digits>:<name>`. @throws TypeError when the name is no well-formed text. */
export function topicToWire(topic: Topic): string {
  jsonString('topic name', topic.name)
  return `${topic.user.toHex()}:${topic.name}`
}

/** The topic of a wire form, of which the first colon separates; `undefined` for anything else. */
export function topicFromWire(wire: string): Topic | undefined {
  const match = /^([0-9a-f]{64}):(.*)$/is.exec(wire)
  if (match === null) return undefined
  const [, user = '', name = ''] = match
  return { user: Fingerprint.fromHex(user), name }
}

/** What a doorbell topic begins with; the name of a stream follows. */
export const DOORBELL_PREFIX = 'agent-store/doorbell/v1/'

/** The longest stream name that a doorbell topic carries, in bytes of UTF-8. */
const MAX_STREAM_BYTES = 512

/**
 * The name of the topic on which a stream's commits are announced.
 * @throws TypeError when `stream` is no well-formed text.
 * @throws RangeError when it has more than 512 bytes.
 */
export function doorbellTopic(stream: string): string {
  jsonString('stream', stream)
  const bytes = Buffer.byteLength(stream)
  if (bytes > MAX_STREAM_BYTES) {
    throw new RangeError(`stream must have at most ${MAX_STREAM_BYTES} bytes, got ${bytes}`)
  }
  return DOORBELL_PREFIX + stream
}
