// This package in the shape of a peer.

import { join } from 'node:path'
import { type Durability, SqliteBackend, WriterLog } from '../../src/index.ts'
import type { Peer } from './peer.ts'

export function agentStore(durability: Durability): Peer {
  let db: SqliteBackend
  return {
    name: `**agent-store** (${durability})`,
    durability:
      durability === 'full'
        ? 'WAL, synchronous=FULL: fsync of the WAL in every commit'
        : 'WAL, synchronous=NORMAL: in the WAL, flushed at the next checkpoint only',
    async open(dir) {
      db = SqliteBackend.open(join(dir, 'fleet.db'), { durability })
      WriterLog.ensureSchema(db)
    },
    async append(payload) {
      WriterLog.append(db, 's', 'w', payload)
    },
    async appendMany(payloads) {
      WriterLog.appendMany(db, 's', 'w', payloads)
    },
    async readAll() {
      return WriterLog.entries(db, 's', 'w').length
    },
    async close() {
      db.close()
    },
  }
}
