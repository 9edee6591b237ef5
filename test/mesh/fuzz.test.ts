/**
 * Frames that no peer sends: true ones, damaged. Whatever comes, the reader gives a value or a
 * typed error, and what it took for true is true.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Envelope, MeshError } from 'agent-store/mesh'
import { encodeBusMessage } from '../../src/mesh/bus-message.ts'
import { ENVELOPE_FRAME_BYTES, encodeFrame, FrameDecoder } from '../../src/mesh/frame.ts'
import { helloFrame, readAnswer, rejectFrame } from '../../src/mesh/handshake.ts'
import { Trust } from '../../src/mesh/identity/trust.ts'
import { Inbox } from '../../src/mesh/inbox.ts'
import { numbers, utf8 } from '../support.ts'
import { agentOf, KEYS } from './support.ts'

const FUZZ_FRAMES = Number(process.env.FUZZ_FRAMES ?? 20_000)
const FUZZ_SEED = Number(process.env.FUZZ_SEED ?? 1)

const next = numbers(FUZZ_SEED)
const a = agentOf(KEYS.agentA)
const sub = a.delegate({ role: 'r\u00f4le "\\', host: 'h', issuedAt: '', key: KEYS.delegateD })
const topic = `${KEYS.user.fingerprint}:agent-store/doorbell/v1/notes`
const correlation = new Uint8Array(16).fill(0xab)
const body = utf8('{"v":1,"stream":"notes","seq":7}')

/** Frames of every kind that a peer may send. */
const SEEDS: readonly Uint8Array[] = [
  helloFrame(a.certificate),
  helloFrame(sub.certificate),
  rejectFrame('DifferentUser'),
  ...[a, sub].flatMap((agent, i) =>
    [
      encodeBusMessage({ kind: 'publish', topic, body }),
      encodeBusMessage({ kind: 'request', topic, correlation, body }),
      encodeBusMessage({ kind: 'reply', correlation, body }),
    ].map((payload, j) => {
      const recipient = { kind: 'direct', agent: KEYS.agentB.fingerprint } as const
      const sequence = BigInt(i * 3 + j + 1)
      return encodeFrame(
        Envelope.seal(agent, { recipient, sequence, payload }).toJson(),
        ENVELOPE_FRAME_BYTES,
      )
    }),
  ),
]

const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '0',
  '-1',
  '256',
  '1.0',
  '1e3',
  'null',
  'true',
  '\\ud800',
  '18446744073709551616',
  '"kind":"publish",',
  '"__proto__":{},',
  '\u0000',
  '\ufeff',
  '{"all":null}',
  '[[[[[[[[',
  '"only":',
  '"Agent":',
  '"User":',
].map(utf8)

/** Damage in one to four places: bits, bytes, pieces cut out, doubled, moved, tokens put in. */
function damaged(frame: Uint8Array): Uint8Array {
  let bytes = frame.slice()
  for (let times = 1 + next(4); times > 0; times--) {
    const at = next(bytes.length + 1)
    const length = next(2) === 0 ? next(8) : next(bytes.length + 1)
    const token = TOKENS[next(TOKENS.length)] ?? new Uint8Array()
    const [before, piece, after] = [
      bytes.subarray(0, at),
      bytes.subarray(at, at + length),
      bytes.subarray(at + length),
    ]
    const put = [
      () => [before, piece.map((byte, i) => (i === 0 ? byte ^ (1 << next(8)) : byte)), after],
      () => [before, piece.map((byte, i) => (i === 0 ? next(256) : byte)), after],
      () => [before, after],
      () => [before, piece, piece, after],
      () => [before, token, piece, after],
      () => [before, token, after],
      () => [after, before],
      () => [before],
    ][next(8)]
    bytes = new Uint8Array(Buffer.concat(put?.() ?? []))
  }
  // Most damage must get past the length to be seen by the reader of JSON.
  if (bytes.length > 4 && next(8) > 0) new DataView(bytes.buffer).setUint32(0, bytes.length - 4)
  return bytes
}

test(`${FUZZ_FRAMES} damaged frames (seed ${FUZZ_SEED}): a value or a typed error`, () => {
  const trust = new Trust(agentOf(KEYS.agentB).certificate)
  const outcomes = new Map<string, number>()
  const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  for (let i = 0; i < FUZZ_FRAMES; i++) {
    const bytes = damaged(SEEDS[next(SEEDS.length)] ?? new Uint8Array())
    try {
      const decoder = new FrameDecoder()
      decoder.push(bytes)
      const json = decoder.next(65_536)
      if (json === undefined) {
        count('incomplete')
        continue
      }
      if (next(2) === 0) {
        const answer = readAnswer(json)
        if ('reason' in answer) count('a reason')
        else {
          trust.check(answer, answer.agentKey)
          count('a certificate')
        }
      } else {
        const envelope = Envelope.fromJson(json)
        // Damage that changes nothing of what is signed leaves a true envelope.
        new Inbox(trust).admit(envelope, envelope.certificate)
        count('an envelope')
      }
    } catch (error) {
      assert.ok(error instanceof MeshError, `frame ${i}: ${String(error)}`)
      assert.ok(error.code !== 'MESH_NOT_ADMITTED', `frame ${i}: forged: ${error.message}`)
      count(error.code)
    }
  }
  if (process.env.FUZZ_REPORT === '1') console.log(Object.fromEntries(outcomes))
  if (FUZZ_FRAMES < 20_000) return
  // The damage reaches every layer, or it would show nothing.
  for (const code of [
    'incomplete',
    'a reason',
    'a certificate',
    'an envelope',
    'MESH_FRAME',
    'MESH_ENCODING',
    'MESH_HANDSHAKE',
    'MESH_BAD_CERT_CHAIN',
    'MESH_BAD_SIGNATURE',
    'MESH_MALFORMED_ENVELOPE',
  ]) {
    assert.ok((outcomes.get(code) ?? 0) > 0, `nothing ended as ${code}`)
  }
})
