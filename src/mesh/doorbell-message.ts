/**
 * What a doorbell says on the mesh: a commit's pointer, as JSON, on a topic of its stream.
 *
 * The form is that of the doorbell profile, version 1: `v`, `stream`, `writer`, `seq` as an
 * integer, `content_hash` as 64 hex digits. Never the payload, never a time.
 *
 * @module
 */
import { checkText, MAX_INT64 } from '#shared'
import type { CommitEvent } from '../index.ts'
import { hasCode, MeshError } from './errors.ts'
import { jsonString, utf8 } from './json/canonical-json.ts'
import { JsonReader } from './json/strict-json.ts'
import { DOORBELL_PREFIX } from './topic.ts'

const VERSION = 1n
const MAX_SEQ = MAX_INT64
/** The longest body, in bytes. */
const MAX_BYTES = 4_096

/** The body that announces a commit. @throws RangeError when its names make it too long. */
export function encodeBell({ stream, writer, seq, contentHash }: CommitEvent): Uint8Array {
  const hash = Buffer.from(contentHash).toString('hex')
  const body = utf8(
    `{"v":${VERSION},"stream":${jsonString('stream', stream)},"writer":${jsonString('writer', writer)},` +
      `"seq":${seq},"content_hash":"${hash}"}`,
  )
  if (body.length <= MAX_BYTES) return body
  throw new RangeError(
    `stream and writer must fit into ${MAX_BYTES} bytes of JSON, which would take ${body.length}`,
  )
}

/**
 * Read what came on `topic`.
 * @returns `undefined` for another version, which is not for us.
 * @throws MeshError MESH_BAD_BELL when it announces nothing that could be.
 */
export function decodeBell(topic: string, body: Uint8Array): CommitEvent | undefined {
  if (body.length > MAX_BYTES) {
    throw new MeshError(
      'MESH_BAD_BELL',
      `a bell has at most ${MAX_BYTES} bytes, got ${body.length}`,
    )
  }
  try {
    if (JsonReader.parse(body, readVersion) !== VERSION) return undefined
    const event = JsonReader.parse(body, readEvent)
    if (DOORBELL_PREFIX + event.stream !== topic) {
      throw new MeshError('MESH_BAD_BELL', 'a bell announces another stream than that of its topic')
    }
    checkText('stream', event.stream)
    checkText('writer', event.writer)
    return event
  } catch (cause) {
    if (!(hasCode(cause, 'MESH_ENCODING') || cause instanceof TypeError)) throw cause
    throw new MeshError('MESH_BAD_BELL', `this is no bell: ${cause.message}`, { cause })
  }
}

function readVersion(reader: JsonReader): bigint {
  let version: bigint | undefined
  reader.object({ v: () => (version = reader.u64()) })
  return reader.required(version, 'v')
}

function readEvent(reader: JsonReader): CommitEvent {
  let stream: string | undefined
  let writer: string | undefined
  let seq: bigint | undefined
  let contentHash: Uint8Array | undefined
  reader.object({
    stream: () => (stream = reader.string()),
    writer: () => (writer = reader.string()),
    seq: () => (seq = reader.u64()),
    content_hash: () => (contentHash = reader.atString() ? readHex(reader) : reader.bytes(32)),
  })
  const event = {
    stream: reader.required(stream, 'stream'),
    writer: reader.required(writer, 'writer'),
    seq: reader.required(seq, 'seq'),
    contentHash: reader.required(contentHash, 'content_hash'),
  }
  if (event.seq < 1n || event.seq > MAX_SEQ) reader.fail('seq must be from 1 to 2^63-1')
  return event
}

function readHex(reader: JsonReader): Uint8Array {
  const text = reader.string()
  if (!/^[0-9a-f]{64}$/.test(text)) reader.fail('content_hash must be 64 lower-case hex digits')
  return new Uint8Array(Buffer.from(text, 'hex'))
}
