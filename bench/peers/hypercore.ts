// Hypercore: a signed Merkle log on RocksDB. One core, one block per payload.

import { join } from 'node:path'
import Hypercore from 'hypercore'
import { type Peer, versionOf } from './peer.ts'

export function hypercore(): Peer {
  let core: Hypercore
  return {
    name: `hypercore ${versionOf('hypercore')}`,
    durability: 'written to the RocksDB log by write(2), never fsynced: lost at a power cut',

    async open(dir) {
      core = new Hypercore(join(dir, 'hypercore'))
      await core.ready()
    },

    async append(payload) {
      await core.append(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
    },

    async appendMany(payloads) {
      await core.append(payloads.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength)))
    },

    async readAll() {
      let count = 0
      for await (const _block of core.createReadStream()) count++
      return count
    },

    async close() {
      await core.close()
    },
  }
}
