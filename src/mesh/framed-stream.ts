/**
 * A stream of frames over a stream of bytes.
 *
 * @module
 */
import { MeshError } from './errors.ts'
import { FrameDecoder } from './frame.ts'
import type { Stream } from './transport.ts'

/** Reads and writes frames. It reads no further than the frame that was asked for needs. */
export class FramedStream {
  readonly #stream: Stream
  readonly #decoder = new FrameDecoder()

  constructor(stream: Stream) {
    this.#stream = stream
  }

  /**
   * The JSON of the next frame; `undefined` when the stream ended before it.
   * @throws MeshError MESH_FRAME when it is longer than `limit`, or cut short.
   * @throws PeerClosedError
   */
  async readFrame(limit: number): Promise<Uint8Array | undefined> {
    for (;;) {
      const frame = this.#decoder.next(limit)
      if (frame !== undefined) return frame
      const chunk = await this.#stream.read()
      if (chunk === undefined) {
        if (!this.#decoder.isWithinFrame) return undefined
        throw new MeshError('MESH_FRAME', 'the stream ended inside a frame')
      }
      this.#decoder.push(chunk)
    }
  }

  /** Write a whole frame. @throws PeerClosedError. */
  write(frame: Uint8Array): Promise<void> {
    return this.#stream.write(frame)
  }

  /** See {@link Stream.finish}. */
  finish(): Promise<void> {
    return this.#stream.finish()
  }

  /** See {@link Stream.abandon}. */
  abandon(): Promise<void> {
    return this.#stream.abandon()
  }
}
