/**
 * Frames: JSON behind its length in four bytes, big-endian. The announced length is checked
 * before a byte of it is kept.
 *
 * @module
 */
import { MeshError } from './errors.ts'

/** The most bytes of JSON in a frame of a handshake. */
export const HANDSHAKE_FRAME_BYTES = 16_384

/** The most bytes of JSON in the frame of an envelope. */
export const ENVELOPE_FRAME_BYTES = 16_777_216

/** Put the length before the JSON. @throws MeshError MESH_FRAME when it is longer than `limit`. */
export function encodeFrame(json: Uint8Array, limit: number): Uint8Array {
  if (json.length > limit) throw tooLarge(json.length, limit)
  const frame = new Uint8Array(4 + json.length)
  new DataView(frame.buffer).setUint32(0, json.length)
  frame.set(json, 4)
  return frame
}

/**
 * Cuts a stream of bytes into frames. It keeps at most what it was given; who feeds it asks
 * {@link FrameDecoder.next} before it feeds more.
 */
export class FrameDecoder {
  #chunks: Uint8Array[] = []
  #length = 0

  /** Add bytes as they came. The array must not change afterwards. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /**
   * The JSON of the next frame, or `undefined` while it has not come whole.
   * @throws MeshError MESH_FRAME when the frame is to be longer than `limit`.
   */
  next(limit: number): Uint8Array | undefined {
    if (this.#length < 4) return undefined
    const length = this.#announced()
    if (length > limit) throw tooLarge(length, limit)
    if (this.#length < 4 + length) return undefined
    const bytes = this.#join()
    this.#chunks = []
    this.#length = 0
    this.push(bytes.subarray(4 + length))
    return bytes.subarray(4, 4 + length)
  }

  /** Whether a frame has begun and not ended. */
  get isWithinFrame(): boolean {
    return this.#length > 0
  }

  #announced(): number {
    if ((this.#chunks[0]?.length ?? 0) < 4) this.#chunks = [this.#join()]
    const [first = new Uint8Array(4)] = this.#chunks
    return new DataView(first.buffer, first.byteOffset).getUint32(0)
  }

  #join(): Uint8Array {
    const [first] = this.#chunks
    return this.#chunks.length === 1 && first !== undefined
      ? first
      : new Uint8Array(Buffer.concat(this.#chunks))
  }
}

function tooLarge(length: number, limit: number): MeshError {
  return new MeshError('MESH_FRAME', `a frame of ${length} bytes, the limit is ${limit}`)
}
