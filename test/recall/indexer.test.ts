/**
 * An index that keeps up with its log: in batches, with retries, no faster than its model, and
 * each entry once, whenever it is killed.
 *
 * `npm test` takes a sample of the kills; `RECALL_KILLS` sets their number.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Backend, type Entry, SqliteBackend, WriterLog } from 'agent-store'
import { follow } from 'agent-store/follow'
import { PgBackend } from 'agent-store/postgres'
import { aiSdkEmbedder, type Embedder, keepIndexed, RecallIndex } from 'agent-store/recall'
import { emptyPlace } from '../postgres/database.ts'
import { withoutDatabase } from '../postgres/server.ts'
import { startScript } from '../processes/start.ts'
import { numbers, temporaryFile } from '../support.ts'
import { directionOf, NUMBERED, numberedEmbedder } from './numbered-embedder.ts'
import { PLACES } from './places.ts'

const KILLS = Number(process.env.RECALL_KILLS ?? 4)
/** Entries that are appended at most, while indexers come and go. */
const ENTRIES = 1_200
const SCRIPT = new URL('./indexer-process.ts', import.meta.url).pathname

function fill(db: Backend, count: number, writers: readonly string[] = ['a', 'b']): Entry[] {
  return writers.flatMap((writer, w) =>
    WriterLog.appendMany(
      db,
      's',
      writer,
      Array.from({ length: count }, (_, i) => `turn ${i * writers.length + w}`),
    ),
  )
}

for (const place of PLACES) {
  suite(place.name, { skip: place.skip }, () => {
    test('indexes what there is, in batches, and reports how far it is', async (t) => {
      const db = await place.open(t)
      fill(db, 25)
      const index = RecallIndex.create(db, 'v', { vectors: NUMBERED })
      const calls: number[] = []
      const embedder = numberedEmbedder((texts) => void calls.push(texts.length))
      const seen: number[] = []
      const onProgress = ({ entries }: { entries: number }) => seen.push(entries)
      const done = await keepIndexed(index, index.pending(), { embedder, batch: 20, onProgress })
      assert.deepEqual(done, { entries: 50, written: 50 })
      assert.deepEqual(calls, [20, 20, 10])
      assert.deepEqual(seen, [20, 40, 50])
      assert.equal(index.status().behind, 0n)
      const { hits } = index.search({ vector: directionOf(31), k: 1 })
      assert.deepEqual([hits[0]?.writer, hits[0]?.seq], ['b', 16n])
      assert.deepEqual(await keepIndexed(index, index.pending(), { embedder }), {
        entries: 0,
        written: 0,
      })
    })

    test('follows what comes, and embeds nothing for entries that say nothing', async (t) => {
      const db = await place.open(t)
      const index = RecallIndex.create(db, 'v', { vectors: NUMBERED })
      const texts: string[] = []
      const stop = new AbortController()
      const indexing = keepIndexed(index, follow(db, { after: index.cursor(), pollMs: 20 }), {
        embedder: numberedEmbedder((some) => void texts.push(...some)),
        lingerMs: 1,
        signal: stop.signal,
      })
      const ended = assert.rejects(indexing, /enough/)
      WriterLog.append(db, 's', 'w', 'turn 1')
      WriterLog.append(db, 's', 'w', Uint8Array.of(0xff))
      await until(() => index.cursor()[0]?.seq === 2n)
      WriterLog.append(db, 's', 'w', 'turn 3')
      await until(() => index.cursor()[0]?.seq === 3n)
      stop.abort(new Error('enough'))
      await ended
      assert.deepEqual(texts, ['turn 1', 'turn 3'])
      assert.equal(index.status().entries, 2n)
    })
  })
}

/** A file with entries, and an index for numbered vectors. */
function prepared(t: Parameters<typeof temporaryFile>[0], count: number) {
  const db = SqliteBackend.open(temporaryFile(t), { durability: 'normal' })
  t.after(() => db.close())
  WriterLog.ensureSchema(db)
  fill(db, count)
  return { db, index: RecallIndex.create(db, 'v', { vectors: NUMBERED }) }
}

test('a call that fails is made again, after pauses that grow; at last it is given up', async (t) => {
  const { index } = prepared(t, 5)
  let failures = 3
  const attempts: number[] = []
  const embedder = numberedEmbedder(() => {
    if (failures-- > 0) throw new Error('overloaded')
  })
  const onRetry = (_: unknown, attempt: number) => attempts.push(attempt)
  await keepIndexed(index, index.pending(), { embedder, retryMs: 1, onRetry })
  assert.deepEqual(attempts, [1, 2, 3])
  index.clear()
  failures = 100
  await assert.rejects(keepIndexed(index, index.pending(), { embedder, retries: 2, retryMs: 1 }), {
    code: 'RECALL_EMBEDDING',
    message: /failed 3 times.*overloaded/,
  })
  assert.equal(index.status().behind, 10n)
  failures = 0
  assert.equal((await keepIndexed(index, index.pending(), { embedder })).written, 10)
})

test('what a model gives is checked, and what came before it stays', async (t) => {
  const { index } = prepared(t, 20)
  const by = (embed: Embedder['embed']): Embedder => ({ model: 'numbered', embed })
  let calls = 0
  const good = numberedEmbedder()
  const bad: readonly Embedder['embed'][] = [
    async (texts) => texts.slice(1).map(() => [1, 0]),
    async (texts) => texts.map(() => [1, 0, 0]),
    async (texts) => texts.map(() => [Number.NaN, 0]),
    async (texts) => texts.map(() => [0, 0]),
    async () => undefined as never,
  ]
  for (const embed of bad) {
    calls = 0
    index.clear()
    const embedder = by((texts, signal) =>
      ++calls === 2 ? embed(texts, signal) : good.embed(texts, signal),
    )
    await assert.rejects(keepIndexed(index, index.pending(), { embedder, batch: 10 }), {
      code: 'RECALL_EMBEDDING',
    })
    assert.equal(index.status().entries, 10n)
  }
})

test('what fails ends it, also while it waits for more to come', async (t) => {
  for (const concurrency of [1, 2, 5]) {
    const { db, index } = prepared(t, 5)
    const failing = numberedEmbedder(() => {
      throw new Error('overloaded')
    })
    const entries = () => follow(db, { after: index.cursor(), pollMs: 20 })
    const options = { concurrency, retries: 0, lingerMs: 1 }
    await assert.rejects(keepIndexed(index, entries(), { ...options, embedder: failing }), {
      code: 'RECALL_EMBEDDING',
    })
    const onProgress = () => {
      throw new Error('nobody looks')
    }
    const embedder = numberedEmbedder()
    await assert.rejects(
      keepIndexed(index, entries(), { ...options, embedder, onProgress }),
      /nobody looks/,
    )
  }
})

test("an error of the consumer's textOf stays what it is", async (t) => {
  const { db } = prepared(t, 5)
  const textOf = () => {
    throw new TypeError('my mistake')
  }
  const words = RecallIndex.create(db, 'words', { textOf })
  const mine = { name: 'TypeError', message: 'my mistake' }
  await assert.rejects(keepIndexed(words, words.pending()), mine)
  const index = RecallIndex.open(db, 'v', { textOf })
  const embedder = numberedEmbedder()
  await assert.rejects(keepIndexed(index, index.pending(), { embedder }), mine)
})

test('an embedder of another model is refused, and so is none where one is needed', async (t) => {
  const { db, index } = prepared(t, 1)
  const other: Embedder = { model: 'other', embed: async () => [] }
  const wrong = { code: 'RECALL_DEFINITION', field: 'model' }
  await assert.rejects(keepIndexed(index, index.pending(), { embedder: other }), wrong)
  await assert.rejects(keepIndexed(index, index.pending()), wrong)
  const words = RecallIndex.create(db, 'words')
  await assert.rejects(keepIndexed(words, words.pending(), { embedder: other }), wrong)
  assert.deepEqual(await keepIndexed(words, words.pending()), { entries: 2, written: 2 })
  for (const options of [{ batch: 0 }, { concurrency: 0 }, { retries: -1 }, { lingerMs: 0.5 }]) {
    await assert.rejects(keepIndexed(words, words.pending(), options), RangeError)
  }
})

test('takes entries no faster than they are embedded, and commits in their order', async (t) => {
  const { index } = prepared(t, 50)
  let [taken, embedded, most, running] = [0, 0, 0, 0]
  const counted = function* () {
    for (const entry of index.pending()) {
      taken++
      assert.ok(taken - embedded <= 4 * 10, `${taken} taken, ${embedded} embedded`)
      yield entry
    }
  }
  const chance = numbers(4)
  const embedder = numberedEmbedder(async (texts) => {
    most = Math.max(most, ++running)
    await sleep(chance(8))
    running--
    embedded += texts.length
  })
  const cursors: bigint[] = []
  const onProgress = () => cursors.push(index.cursor().reduce((sum, { seq }) => sum + seq, 0n))
  await keepIndexed(index, counted(), { embedder, batch: 10, concurrency: 3, onProgress })
  assert.equal(most, 3)
  assert.deepEqual(
    cursors,
    Array.from({ length: 10 }, (_, i) => BigInt(10 * (i + 1))),
  )
})

test('two indexers of one index double nothing', async (t) => {
  const { db, index } = prepared(t, 60)
  const other = RecallIndex.open(db, 'v')
  const embedder = numberedEmbedder(async () => void (await sleep(1)))
  const done = await Promise.all(
    [index, other].map((each) => keepIndexed(each, each.pending(), { embedder, batch: 7 })),
  )
  assert.equal(
    done.reduce((sum, { written }) => sum + written, 0),
    120,
  )
  assert.equal(index.status().entries, 120n)
})

test('a model of the AI SDK serves by its shape', async (t) => {
  const { db } = prepared(t, 5)
  const calls: string[][] = []
  const model = {
    specificationVersion: 'v3',
    provider: 'acme.embedding',
    modelId: 'small',
    maxEmbeddingsPerCall: Promise.resolve(4),
    supportsParallelCalls: true,
    async doEmbed({ values, abortSignal }: { values: string[]; abortSignal?: AbortSignal }) {
      assert.ok(abortSignal instanceof AbortSignal)
      calls.push(values)
      return { embeddings: values.map((text) => directionOf(text.length)), usage: { tokens: 1 } }
    },
  }
  const embedder = aiSdkEmbedder(model)
  const vectors = { ...NUMBERED, model: 'acme.embedding:small' }
  assert.equal(embedder.model, vectors.model)
  const index = RecallIndex.create(db, 'sdk', { vectors })
  await keepIndexed(index, index.pending(), { embedder })
  assert.deepEqual(
    calls.map(({ length }) => length),
    [4, 4, 2],
  )
  assert.throws(() => aiSdkEmbedder({} as never), TypeError)
})

test(`killed ${KILLS} times amid commits: each entry is in the index once`, async (t) => {
  const file = temporaryFile(t)
  using db = SqliteBackend.open(file, { durability: 'normal' })
  WriterLog.ensureSchema(db)
  const index = RecallIndex.create(db, 'v', { vectors: NUMBERED })
  const chance = numbers(KILLS)
  let appended = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const indexer = startScript(SCRIPT, JSON.stringify({ file, options: { durability: 'normal' } }))
    await indexer.lines(1)
    for (const end = Date.now() + 30 + chance(250); Date.now() < end; await sleep(5)) {
      if (appended >= ENTRIES) continue
      WriterLog.append(db, `s${appended % 3}`, 'w', `turn ${appended}`)
      WriterLog.append(db, `s${appended % 3}`, 'v', `turn ${appended + 1}`)
      appended += 2
    }
    indexer.kill()
    await indexer.end
  }
  const before = index.status().entries
  t.diagnostic(`${before} of ${appended} entries were indexed by processes that were killed`)
  assert.ok(before > 20n)
  await keepIndexed(index, index.pending(), { embedder: numberedEmbedder() })
  const clean = RecallIndex.create(db, 'clean', { vectors: NUMBERED })
  await keepIndexed(clean, clean.pending(), { embedder: numberedEmbedder() })
  const rows = (each: number) =>
    db.query(
      `SELECT l.stream, l.writer, e.seq, e.content_hash, v.vector
        FROM _agent_store_recall_${each}_entry AS e
        JOIN _agent_store_recall_${each}_log AS l ON l.id = e.log
        JOIN _agent_store_recall_${each}_vector AS v ON v.id = e.id ORDER BY 1, 2, 3`,
    )
  assert.equal(rows(1).length, appended)
  assert.deepEqual(rows(1), rows(2))
  assert.deepEqual(index.status(), { ...clean.status(), name: 'v' })
  for (let n = 0; n < appended; n += 37) {
    const question = { text: `turn ${n}`, vector: directionOf(n) }
    assert.deepEqual(index.search(question), clean.search(question))
  }
})

test('indexers on a server, some of which are killed, double nothing', {
  skip: withoutDatabase(),
}, async (t) => {
  const postgres = emptyPlace(t)
  using db = PgBackend.connect(postgres)
  WriterLog.ensureSchema(db)
  for (const writer of ['a', 'b', 'c']) fill(db, 200, [writer])
  const chance = numbers(5)
  const start = () => startScript(SCRIPT, JSON.stringify({ postgres }), 'words')
  for (let round = 0; round < 3; round++) {
    const [killed, other] = [start(), start()]
    await Promise.all([killed.lines(1), other.lines(1)])
    await sleep(chance(60))
    killed.kill()
    assert.equal((await other.end).failure, undefined)
    if (round === 0) fill(db, 300, ['d', 'e'])
  }
  const index = RecallIndex.open(db, 'words')
  assert.deepEqual([index.status().entries, index.status().behind], [1_200n, 0n])
  const clean = RecallIndex.create(db, 'clean')
  await keepIndexed(clean, clean.pending())
  assert.deepEqual(index.cursor(), clean.cursor())
  assert.equal(index.search({ text: 'turn 77' }).hits.length, 10)
})

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 1_000, 'it has not come')
    await sleep(5)
  }
}
