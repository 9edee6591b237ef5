/**
 * Part of `npm run bench:peers`: finding the nearest ten vectors on SQLite, by this package and by
 * the loadable extension `sqlite-vec`, in turns in one run; 384 dimensions, clustered, in memory.
 * Ours looks each hit up in the log and hashes it as well.
 *
 * Options: --sizes 1000,10000,100000, --questions N (41).
 */
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { load } from 'sqlite-vec'
import { SqliteBackend, WriterLog } from '../../src/index.ts'
import { RecallIndex } from '../../src/recall/index.ts'
import { clustered } from '../../test/recall/clustered.ts'
import { versionOf } from './peer.ts'

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000,100000' },
    questions: { type: 'string', default: '41' },
  },
})
const DIMENSIONS = 384
const K = 10

console.log(
  `\n| vectors | agent-store, ms | sqlite-vec ${versionOf('sqlite-vec')}, ms | of its time | both find |`,
)
console.log('|---|---|---|---|---|')
for (const size of values.sizes.split(',').map(Number)) {
  const next = clustered(DIMENSIONS, 200, 3)
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const vectors = { model: 'bench', dimensions: DIMENSIONS, distance: 'cosine' } as const
  const index = RecallIndex.create(db, 'bench', { vectors, textOf: () => undefined })

  const peer = new DatabaseSync(':memory:', { allowExtension: true })
  load(peer)
  peer.exec(`CREATE VIRTUAL TABLE v USING vec0(vector float[${DIMENSIONS}] distance_metric=cosine)`)
  const insert = peer.prepare('INSERT INTO v (rowid, vector) VALUES (?, ?)')

  for (let at = 0; at < size; at += 1_000) {
    const payloads = Array.from({ length: Math.min(1_000, size - at) }, (_, i) => `${at + i}`)
    const entries = WriterLog.appendMany(db, 's', 'w', payloads)
    const made = entries.map(() => next())
    index.index(entries, made)
    peer.exec('BEGIN')
    for (const [i, vector] of made.entries()) insert.run(BigInt(at + i + 1), bytesOf(vector))
    peer.exec('COMMIT')
  }
  const nearest = peer.prepare(
    'SELECT rowid FROM v WHERE vector MATCH ? AND k = ? ORDER BY distance',
  )
  const ours: number[] = []
  const theirs: number[] = []
  let shared = 0
  const questions = Number(values.questions)
  for (let i = 0; i <= questions; i++) {
    const vector = next()
    const [mine, a] = timed(() => index.search({ vector, k: K }).hits.map(({ seq }) => Number(seq)))
    const [others, b] = timed(() =>
      nearest.all(bytesOf(vector), K).map(({ rowid }) => Number(rowid)),
    )
    if (i === 0) continue // Ours reads its codes.
    ours.push(a)
    theirs.push(b)
    shared += mine.filter((seq) => others.includes(seq)).length
  }
  peer.close()
  const [a, b] = [median(ours), median(theirs)]
  const both = (shared / (K * questions)).toFixed(3)
  console.log(`| ${size} | ${a.toFixed(2)} | ${b.toFixed(2)} | ${(a / b).toFixed(2)} | ${both} |`)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function timed<T>(work: () => T): [T, number] {
  const start = performance.now()
  const result = work()
  return [result, performance.now() - start]
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
}
