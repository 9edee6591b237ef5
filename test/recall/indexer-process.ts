/**
 * An indexer that is killed and started again: follows a file from the index's own cursor, with
 * an embedder that takes its time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { SqliteBackend } from 'agent-store'
import { follow } from 'agent-store/follow'
import { keepIndexed, RecallIndex } from 'agent-store/recall'
import { NUMBERED, numberedEmbedder } from './numbered-embedder.ts'

const [, script, file] = process.argv
if (script === import.meta.filename && file !== undefined) {
  using db = SqliteBackend.open(file, { durability: 'normal' })
  const index = RecallIndex.create(db, 'v', { vectors: NUMBERED })
  console.log('ready')
  await keepIndexed(index, follow(db, { after: index.cursor(), pollMs: 50 }), {
    embedder: numberedEmbedder(async (texts) => void (await sleep(texts.length / 2))),
    batch: 10,
    concurrency: 3,
    lingerMs: 5,
  })
}
