/**
 * An indexer that is killed and started again: with an embedder that takes its time, on a file
 * that it follows from the index's own cursor; or by words alone, on any store, until the end.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { follow } from 'agent-store/follow'
import { keepIndexed, RecallIndex } from 'agent-store/recall'
import { openStore, type Store } from '../processes/store.ts'
import { NUMBERED, numberedEmbedder } from './numbered-embedder.ts'

const [, script, store, kind] = process.argv
if (script === import.meta.filename && store !== undefined) {
  using db = await openStore(JSON.parse(store) as Store)
  if (kind === 'words') {
    const index = RecallIndex.create(db, 'words')
    console.log('ready')
    const { written } = await keepIndexed(index, index.pending(), { batch: 5 })
    console.log(written)
  } else {
    const index = RecallIndex.create(db, 'v', { vectors: NUMBERED })
    console.log('ready')
    await keepIndexed(index, follow(db, { after: index.cursor(), pollMs: 50 }), {
      embedder: numberedEmbedder(async (texts) => void (await sleep(texts.length / 2))),
      batch: 10,
      concurrency: 3,
      lingerMs: 5,
    })
  }
}
