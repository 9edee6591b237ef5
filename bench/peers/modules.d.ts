// The part of Hypercore that the benchmark uses; the package ships no types.

declare module 'hypercore' {
  export default class Hypercore {
    constructor(dir: string)
    ready(): Promise<void>
    append(blocks: Uint8Array | Uint8Array[]): Promise<unknown>
    createReadStream(): AsyncIterable<Uint8Array>
    close(): Promise<void>
  }
}
