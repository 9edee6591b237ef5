/**
 * `npm run bench:recall`: how long an index takes to be made and asked, and how much of what
 * comparing all vectors finds is found: at 1,000, 10,000 and 100,000 entries of the size of real
 * turns, each with a vector of 384 dimensions, with the plan of each search. Before the questions
 * that are measured, as many others are asked. Fails where too few of the nearest are found.
 *
 * Options: --sizes 1000,10000,100000, --only TEXT (sqlite, pglite, server), --url URL of a server
 * in place of a throwaway one, --questions N (41). A server without pgvector has words alone.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PGlite } from '@electric-sql/pglite'
import { vector as pgvector } from '@electric-sql/pglite-pgvector'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { type Question, RecallIndex } from 'agent-store/recall'
import { findServer, findServerWith } from '../test/postgres/installation.ts'
import { startServer } from '../test/postgres/server.ts'
import { clustered } from '../test/recall/clustered.ts'
import { numbers } from '../test/support.ts'

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000,100000' },
    only: { type: 'string', default: '' },
    url: { type: 'string' },
    questions: { type: 'string', default: '41' },
  },
})
const sizes = values.sizes.split(',').map(Number)
const asked = Number(values.questions)

const DIMENSIONS = 384
const CENTRES = 200
const STREAMS = 10
const BATCH = 500
const WORDS = 40_000
/** Half of the real turns are shorter than this many words, and some are fifty times as long. */
const MEDIAN_WORDS = 100
const VECTORS = { model: 'bench', dimensions: DIMENSIONS, distance: 'cosine' } as const

function line(name: string, ...cells: readonly string[]): void {
  console.log([name.padEnd(44), ...cells.map((cell) => cell.padStart(10))].join(' '))
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
}

/** Texts with the frequencies of a language: few words are everywhere, most are rare. */
function texts(seed: number): { turn(): string; question(): string } {
  const next = numbers(seed)
  const uniform = () => (next(0x7fffffff) + 1) / 0x80000000
  // Zipf's law: the word of rank r comes 1/r as often as the first.
  const word = () => nameOf(Math.floor(WORDS ** uniform()))
  const many = (count: number) => Array.from({ length: count }, word).join(' ')
  return {
    turn() {
      const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
      return many(Math.max(3, Math.min(5_000, Math.round(MEDIAN_WORDS * Math.exp(1.1 * normal)))))
    },
    question: () => many(3 + next(6)),
  }
}

/** A word for each rank, of letters only. */
function nameOf(rank: number): string {
  let name = ''
  for (let left = rank + 20; left > 0; left = Math.floor(left / 20)) {
    name += `${'bcdfghjklmnpqrstvwxz'[left % 20]}${'aeiou'[left % 5]}`
  }
  return name
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector)
  return vector.map((component) => component / length)
}

/** Fill an empty store and its index, and ask it. */
function measure(name: string, db: Backend, size: number): void {
  WriterLog.ensureSchema(db)
  const next = clustered(DIMENSIONS, CENTRES, 3)
  const { turn, question } = texts(5)
  const index = RecallIndex.create(db, 'bench', { vectors: VECTORS })
  const plain = RecallIndex.create(db, 'vectors', {
    vectors: VECTORS,
    textOf: () => undefined,
  })
  const all: { stream: string; key: string; vector: Float32Array }[] = []
  let [wordsMs, vectorsMs] = [0, 0]
  const batch = Math.min(BATCH, size / STREAMS)
  for (let at = 0; at < size; at += batch) {
    const stream = `s${(at / batch) % STREAMS}`
    const payloads = Array.from({ length: batch }, turn)
    const entries = WriterLog.appendMany(db, stream, 'w', payloads)
    const vectors = entries.map(() => next())
    let start = performance.now()
    plain.index(entries, vectors)
    vectorsMs += performance.now() - start
    start = performance.now()
    index.index(entries, vectors)
    wordsMs += performance.now() - start
    for (const [i, { seq }] of entries.entries()) {
      all.push({ stream, key: `${stream} ${seq}`, vector: unit(vectors[i] ?? next()) })
    }
  }
  line(
    `${name}, ${size}: indexing a vector`,
    `${((vectorsMs * 1000) / size).toFixed(0)} us`,
    '80 us',
  )
  line('  with the words of its text', `${((wordsMs * 1000) / size).toFixed(0)} us`)
  RecallIndex.drop(db, 'vectors')
  let start = performance.now()
  index.optimize()
  line('  optimize(), an entry', `${(((performance.now() - start) * 1000) / size).toFixed(0)} us`)

  const vectors = Array.from({ length: asked }, () => next())
  const others = Array.from({ length: asked }, () => next())
  start = performance.now()
  index.search({ vector: vectors[0] ?? next() })
  line('  the first search by vector', `${(performance.now() - start).toFixed(1)} ms`)
  const isSqlite = db.dialect === 'sqlite'
  const goal = isSqlite ? (size > 10_000 ? '30 ms' : '5 ms') : '3 ms'
  for (const [kind, filter] of [
    ['by vector', {}],
    ['by vector, in one of 10 streams', { stream: 's3' }],
    ['by vector, in 5 of 10 streams', { stream: ['s1', 's3', 's5', 's7', 's9'] }],
  ] as const) {
    ask(index, others, (vector) => ({ vector, ...filter }))
    const { ms, keys } = ask(index, vectors, (vector) => ({ vector, ...filter }))
    const streams = new Set<string>('stream' in filter ? [filter.stream].flat() : [])
    const within = all.filter(({ stream }) => streams.size === 0 || streams.has(stream))
    const recall = recallOf(within, vectors, keys)
    line(`  ${kind}: median, recall@10`, `${ms.toFixed(2)} ms`, recall.toFixed(3), goal)
    if (recall < (isSqlite ? 1 : 0.95)) {
      console.log(`  recall@10 of ${recall} is too low`)
      process.exitCode = 1
    }
  }
  const questions = askWords(index, question)
  const both = ask(index, questions, (text, i) => ({ text, vector: vectors[i] ?? next() }))
  line('  by both: median, p90', `${both.ms.toFixed(2)} ms`, `${both.p90.toFixed(2)} ms`)
  const [vector = next()] = others
  plansOf(db, index, 'by vector', { vector })
  plansOf(db, index, 'by vector, in one of 10 streams', { vector, stream: 's3' })
  plansOf(db, index, 'by words', { text: questions[0] ?? 'word' })
}

/** The same without pgvector. */
function measureWords(name: string, db: Backend, size: number): void {
  WriterLog.ensureSchema(db)
  const { turn, question } = texts(5)
  const index = RecallIndex.create(db, 'bench')
  let ms = 0
  for (let at = 0; at < size; at += BATCH) {
    const payloads = Array.from({ length: BATCH }, turn)
    const entries = WriterLog.appendMany(db, `s${(at / BATCH) % STREAMS}`, 'w', payloads)
    const start = performance.now()
    index.index(entries)
    ms += performance.now() - start
  }
  line(`${name}, ${size}: indexing words alone`, `${((ms * 1000) / size).toFixed(0)} us`)
  const start = performance.now()
  index.optimize()
  line('  optimize(), an entry', `${(((performance.now() - start) * 1000) / size).toFixed(0)} us`)
  askWords(index, question)
}

function askWords(index: RecallIndex, question: () => string): string[] {
  const first = question()
  const start = performance.now()
  index.search({ text: first })
  line('  the first search by words', `${(performance.now() - start).toFixed(1)} ms`)
  ask(index, Array.from({ length: asked }, question), (text) => ({ text }))
  const questions = Array.from({ length: asked }, question)
  const { ms, p90 } = ask(index, questions, (text) => ({ text }))
  line('  by words: median, p90', `${ms.toFixed(2)} ms`, `${p90.toFixed(2)} ms`, '10 ms')
  return questions
}

function ask<T>(
  index: RecallIndex,
  questions: readonly T[],
  toQuestion: (of: T, i: number) => Question,
): { ms: number; p90: number; keys: string[][] } {
  const times: number[] = []
  const keys = questions.map((of, i) => {
    const start = performance.now()
    const { hits } = index.search(toQuestion(of, i))
    times.push(performance.now() - start)
    return hits.map(({ stream, seq }) => `${stream} ${seq}`)
  })
  times.sort((a, b) => a - b)
  return { ms: median(times), p90: times[Math.floor(0.9 * times.length)] ?? Number.NaN, keys }
}

/** The share of the ten nearest that were found, for the first questions. */
function recallOf(
  all: readonly { key: string; vector: Float32Array }[],
  vectors: readonly Float32Array[],
  found: readonly (readonly string[])[],
): number {
  let shared = 0
  const some = vectors.slice(0, 20)
  for (const [i, vector] of some.entries()) {
    const query = unit(vector)
    const nearest = all
      .map(({ key, vector: other }) => {
        let dot = 0
        for (let c = 0; c < DIMENSIONS; c++) dot += (query[c] ?? 0) * (other[c] ?? 0)
        return { key, dot }
      })
      .sort((a, b) => b.dot - a.dot)
      .slice(0, 10)
    shared += nearest.filter(({ key }) => found[i]?.includes(key)).length
  }
  return shared / (10 * some.length)
}

/** How each statement of a search that reads an index is executed: there and then, as it is sent. */
function plansOf(db: Backend, index: RecallIndex, kind: string, question: Question): void {
  console.log(`  plan ${kind}:`)
  const query = db.query.bind(db)
  const explain = db.dialect === 'sqlite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN (COSTS OFF)'
  const isSearch = /MATCH|::tsquery|_vector AS/
  db.query = (sql, params) => {
    if (isSearch.test(sql)) {
      for (const row of query(`${explain} ${sql}`, params)) {
        const step = String(row[db.dialect === 'sqlite' ? 3 : 0])
        console.log(`    ${step.replaceAll(/'[^']{40,}'/g, '…').slice(0, 140)}`)
      }
    }
    return query(sql, params)
  }
  try {
    index.search(question)
  } finally {
    Reflect.deleteProperty(db, 'query')
  }
}

function onSqlite(folder: string, size: number): void {
  using db = SqliteBackend.open(join(folder, `${size}.db`), { durability: 'normal' })
  measure('SQLite', db, size)
}

async function onPglite(size: number): Promise<void> {
  const pglite = await PGlite.create({ extensions: { vector: pgvector } })
  await pglite.exec("CREATE EXTENSION vector; SET maintenance_work_mem = '512MB'")
  const db = PgBackend.onPglite(pglite, { durability: 'none' })
  measure('PGlite', db, size)
  db.close()
  await pglite.close()
}

function onServer(url: string, size: number): void {
  using db = PgBackend.connect(url)
  const schema = `bench_${process.pid}_${size}`
  db.exec(`CREATE SCHEMA ${schema}`)
  try {
    db.query("SELECT set_config('search_path', ?, false)", [schema])
    const vector = "FROM pg_available_extensions WHERE name = 'vector'"
    if (db.query(`SELECT 1 ${vector}`).length > 0) {
      db.exec('CREATE EXTENSION IF NOT EXISTS vector SCHEMA public')
      measure('server', db, size)
    } else measureWords('server without pgvector', db, size)
  } finally {
    db.exec(`DROP SCHEMA ${schema} CASCADE`)
  }
}

const withVectors = findServerWith('vector')
const installation = 'missing' in withVectors ? findServer() : withVectors
const folder = mkdtempSync(join(tmpdir(), 'agent-store-bench-'))
try {
  for (const size of sizes) {
    if ('sqlite'.includes(values.only)) onSqlite(folder, size)
    if ('pglite'.includes(values.only)) await onPglite(size)
    if (!'server'.includes(values.only)) continue
    if (values.url !== undefined) onServer(values.url, size)
    else if (!('missing' in installation)) {
      using server = startServer({ installation, fsync: false })
      // As one is set up that has some memory to itself.
      server.configure("shared_buffers = '1GB'", "maintenance_work_mem = '512MB'")
      server.restart()
      onServer(server.url(), size)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
