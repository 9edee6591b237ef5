/**
 * Frames come whole however they are cut, and never larger than their limit.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PeerClosedError, type Stream } from 'agent-store/mesh'
import { encodeFrame, FrameDecoder } from '../../src/mesh/frame.ts'
import { FramedStream } from '../../src/mesh/framed-stream.ts'
import { noise, utf8 } from '../support.ts'

/** A stream that says these chunks and then ends. */
function saying(...chunks: readonly Uint8Array[]): FramedStream {
  const left = [...chunks]
  const stream: Stream = {
    read: async () => left.shift(),
    write: async () => {
      throw new PeerClosedError('nobody listens')
    },
    finish: async () => {},
    abandon: async () => {},
  }
  return new FramedStream(stream)
}

test('a frame is its length in four bytes, big-endian, and the JSON', () => {
  assert.deepEqual(encodeFrame(utf8('{}'), 2), new Uint8Array([0, 0, 0, 2, 0x7b, 0x7d]))
  assert.deepEqual(encodeFrame(new Uint8Array(), 0), new Uint8Array(4))
  const long = encodeFrame(noise(70_000, 1), 70_000)
  assert.deepEqual(long.subarray(0, 4), new Uint8Array([0, 1, 0x11, 0x70]))
})

test('one that is too long is neither written nor begun to be read', () => {
  assert.throws(
    () => encodeFrame(new Uint8Array(17), 16),
    /^MeshError: a frame of 17 bytes, the limit is 16$/,
  )
  const decoder = new FrameDecoder()
  decoder.push(new Uint8Array([0, 0, 0, 17]))
  assert.throws(() => decoder.next(16), { code: 'MESH_FRAME' })
  const largest = new FrameDecoder()
  largest.push(new Uint8Array([255, 255, 255, 255, 1]))
  assert.throws(() => largest.next(2 ** 24), /a frame of 4294967295 bytes/)
})

test('however the bytes are cut, the frames are the same', () => {
  const frames = [noise(0, 1), noise(1, 2), noise(300, 3), noise(5, 4)]
  const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame, 1000)))
  for (let size = 1; size < bytes.length + 1; size += size < 12 ? 1 : 37) {
    const decoder = new FrameDecoder()
    const found: Uint8Array[] = []
    for (let at = 0; at < bytes.length; at += size) {
      decoder.push(new Uint8Array(bytes.subarray(at, at + size)))
      for (let next = decoder.next(1000); next !== undefined; next = decoder.next(1000)) {
        found.push(next.slice())
      }
    }
    assert.deepEqual(found, frames, `cut every ${size} bytes`)
    assert.equal(decoder.isWithinFrame, false)
  }
})

test('a stream gives its frames, then its end; an end within a frame is an error', async () => {
  const [one, two] = [utf8('{"a":1}'), utf8('{}')]
  const bytes = new Uint8Array([...encodeFrame(one, 99), ...encodeFrame(two, 99)])
  const whole = saying(bytes)
  assert.deepEqual(await whole.readFrame(99), one)
  assert.deepEqual(await whole.readFrame(99), two)
  assert.equal(await whole.readFrame(99), undefined)
  for (const cut of [1, 3, 4, 10]) {
    await assert.rejects(
      saying(bytes.subarray(0, cut)).readFrame(99),
      /^MeshError: the stream ended inside a frame$/,
    )
  }
})
