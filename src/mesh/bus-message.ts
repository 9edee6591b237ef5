/**
 * What an envelope's payload holds on the bus: something published, a request, or its reply.
 *
 * @module
 */
import { checkBytes } from '#shared'
import { hasCode, MeshError } from './errors.ts'
import { jsonBytes, jsonString, utf8 } from './json/canonical-json.ts'
import { JsonReader } from './json/strict-json.ts'

/** `topic` is the wire form; `correlation` has 16 bytes. */
export type BusMessage =
  | { readonly kind: 'publish'; readonly topic: string; readonly body: Uint8Array }
  | {
      readonly kind: 'request'
      readonly topic: string
      readonly correlation: Uint8Array
      readonly body: Uint8Array
    }
  | { readonly kind: 'reply'; readonly correlation: Uint8Array; readonly body: Uint8Array }

/** The payload of a message. @throws TypeError, RangeError. */
export function encodeBusMessage(message: BusMessage): Uint8Array {
  let json = `{"kind":"${message.kind}"`
  if (message.kind !== 'reply') json += `,"topic":${jsonString('topic', message.topic)}`
  if (message.kind !== 'publish') {
    checkBytes('correlation', message.correlation, 16)
    json += `,"correlation":${jsonBytes(message.correlation)}`
  }
  return utf8(`${json},"body":${jsonBytes(message.body)}}`)
}

/** Read a payload. @throws MeshError MESH_BAD_BUS_MESSAGE. */
export function decodeBusMessage(payload: Uint8Array): BusMessage {
  try {
    return JsonReader.parse(payload, read)
  } catch (cause) {
    if (!hasCode(cause, 'MESH_ENCODING')) throw cause
    throw new MeshError('MESH_BAD_BUS_MESSAGE', `the payload is no bus message: ${cause.message}`, {
      cause,
    })
  }
}

function read(reader: JsonReader): BusMessage {
  const kind = reader.tag('kind')
  let topic: string | undefined
  let correlation: Uint8Array | undefined
  let body: Uint8Array | undefined
  const readTopic = () => (topic = reader.string())
  const readCorrelation = () => (correlation = reader.bytes(16))
  const readBody = () => (body = reader.blob())
  switch (kind) {
    case 'publish':
      reader.object({ topic: readTopic, body: readBody })
      break
    case 'request':
      reader.object({ topic: readTopic, correlation: readCorrelation, body: readBody })
      break
    case 'reply':
      reader.object({ correlation: readCorrelation, body: readBody })
      break
    default:
      return reader.fail('unknown kind of message')
  }
  const found = { body: reader.required(body, 'body') }
  if (kind === 'reply') {
    return { kind, correlation: reader.required(correlation, 'correlation'), ...found }
  }
  const about = { topic: reader.required(topic, 'topic'), ...found }
  if (kind === 'publish') return { kind, ...about }
  return { kind, correlation: reader.required(correlation, 'correlation'), ...about }
}
