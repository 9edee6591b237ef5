// LangGraph's SQLite checkpointer: one thread, one checkpoint per payload, each the parent of the
// next, on the `better-sqlite3` driver. It has no batch.

import { join } from 'node:path'
import type { RunnableConfig } from '@langchain/core/runnables'
import { emptyCheckpoint, uuid6 } from '@langchain/langgraph-checkpoint'
import { SqliteSaver } from '@langchain/langgraph-checkpoint-sqlite'
import { type Peer, type Synchronous, toBase64, versionOf } from './peer.ts'

const THREAD = { configurable: { thread_id: 'bench', checkpoint_ns: '' } }

export interface LanggraphSqliteOptions {
  /** NORMAL is what the checkpointer runs at when nothing is said. */
  readonly synchronous?: Synchronous
}

export function langgraphSqlite(options: LanggraphSqliteOptions = {}): Peer {
  const { synchronous = 'NORMAL' } = options
  let saver: SqliteSaver
  let head: RunnableConfig
  let step: number

  return {
    name:
      `langgraph-checkpoint-sqlite ${versionOf('@langchain/langgraph-checkpoint-sqlite')} ` +
      `(${synchronous})`,
    durability:
      synchronous === 'FULL'
        ? 'WAL, synchronous=FULL: fsync of the WAL in every commit'
        : 'WAL, synchronous=NORMAL: in the WAL, flushed at the next checkpoint only',

    async open(dir) {
      saver = SqliteSaver.fromConnString(join(dir, 'langgraph.sqlite'))
      const last = await saver.getTuple(THREAD) // creates the schema
      // better-sqlite3 opens at FULL and turns to NORMAL with the switch to WAL just made.
      saver.db.pragma(`synchronous = ${synchronous}`)
      head = last?.config ?? THREAD
      step = last?.metadata?.step ?? -1
    },

    async append(payload) {
      step++
      const checkpoint = {
        ...emptyCheckpoint(),
        id: uuid6(step),
        channel_values: { payload: toBase64(payload) },
        channel_versions: { payload: step + 1 },
      }
      head = await saver.put(head, checkpoint, { source: 'loop', step, parents: {} })
    },

    async readAll() {
      let count = 0
      for await (const _tuple of saver.list(THREAD)) count++
      return count
    },

    async close() {
      saver.db.close()
    },
  }
}
