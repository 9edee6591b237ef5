/** What only PostgreSQL has: an extension that may be missing, and a graph that must lose nothing. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Backend, WriterLog } from 'agent-store'
import { RecallIndex } from 'agent-store/recall'
import { numbers } from '../support.ts'
import { clustered } from './clustered.ts'
import { PLACES } from './places.ts'

const VECTORS = { model: 'm', dimensions: 32, distance: 'cosine' } as const
const COUNT = 12_000

for (const place of PLACES.slice(1)) {
  suite(place.name, { skip: place.skip }, () => {
    test('the graph finds what comparing all finds, under filters too, and what came after it', async (t) => {
      const db = await place.open(t)
      const next = clustered(32, 60, 3)
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      const fill = (writer: string, count: number) => {
        const payloads = Array.from({ length: count }, (_, i) => `${i}`)
        const entries = WriterLog.appendMany(db, writer === 'w0' ? 'rare' : 'run', writer, payloads)
        index.index(
          entries,
          entries.map(() => next()),
        )
      }
      fill('w0', 500)
      fill('w1', 5_500)
      fill('w2', 6_000)
      const questions = Array.from({ length: 30 }, () => next())
      const filters = [{}, { writer: 'w0' }, { writer: 'w2' }, { fromSeq: 4_000n }]
      const ask = () =>
        filters.map((filter) =>
          questions.map((vector) =>
            index.search({ vector, ...filter }).hits.map(({ writer, seq }) => `${writer} ${seq}`),
          ),
        )
      const exact = ask()
      assert.equal(graphOf(db), 0n)
      index.optimize()
      assert.equal(graphOf(db), BigInt(COUNT))
      const walked = ask()
      for (const [i, lists] of exact.entries()) {
        let shared = 0
        for (const [q, list] of lists.entries()) {
          assert.equal(list.length, 10)
          assert.equal(walked[i]?.[q]?.length, 10)
          shared += list.filter((key) => walked[i]?.[q]?.includes(key)).length
        }
        assert.ok(shared >= 285, `${shared} of 300 with filter ${i}`)
      }
      const [vector] = questions as [Float32Array]
      index.index(WriterLog.appendMany(db, 'run', 'new', ['x']), [vector])
      assert.equal(index.search({ vector }).hits[0]?.writer, 'new')
      assert.equal(graphOf(db), BigInt(COUNT))
      index.optimize() // One more is not worth another.
      assert.equal(graphOf(db), BigInt(COUNT))
      index.clear()
      assert.equal(graphOf(db), 0n)
    })

    // Halves have no instructions of their own in WebAssembly.
    const slow = place.name === 'PGlite' && 'it takes PGlite most of a minute'
    test('a graph is laid over vectors of very many dimensions as well', {
      skip: slow,
    }, async (t) => {
      const db = await place.open(t)
      const dimensions = 2_048
      // Of a few directions each, which is quick to make.
      const next = numbers(17)
      const made = () => {
        const vector = new Float32Array(dimensions)
        for (let i = 0; i < 12; i++) vector[next(64)] = next(1_000) / 1_000
        vector[dimensions - 1] = 0.1
        return vector
      }
      const index = RecallIndex.create(db, 'v', { vectors: { ...VECTORS, dimensions } })
      const entries = WriterLog.appendMany(db, 's', 'w', new Array(2_050).fill('x'))
      const vectors = entries.map(made)
      index.index(entries, vectors)
      const questions = Array.from({ length: 10 }, made)
      const ask = () => questions.map((vector) => index.search({ vector }).hits)
      const exact = ask()
      index.optimize()
      assert.equal(graphOf(db), 2_050n)
      const walked = ask()
      let shared = 0
      for (const [i, hits] of walked.entries()) {
        assert.equal(hits.length, 10)
        for (const { seq, score } of hits) {
          const same = exact[i]?.find((hit) => hit.seq === seq)
          if (same === undefined) continue
          shared++
          assert.equal(score, same.score, 'compared as it is stored')
        }
      }
      assert.ok(shared >= 95, `${shared} of 100`)
    })

    test('what statistics know of common words, and the order of indexing, change no answer', async (t) => {
      const db = await place.open(t)
      const next = numbers(11)
      // `every` is in each of them, `half` in every other, the rest in fewer and fewer.
      for (const writer of ['w0', 'w1']) {
        const payloads = Array.from({ length: 1_600 }, (_, i) =>
          ['every', i % 2 === 0 ? 'half' : '', `tenth${next(10)}`, `rare${next(400)}`].join(' '),
        )
        WriterLog.appendMany(db, 'run', writer, payloads)
      }
      const index = RecallIndex.create(db, 'words')
      const ask = () =>
        [
          'every',
          'every half',
          'every rare7',
          'tenth3 half',
          'rare7 tenth3 every',
          'tenth*',
          'every null',
        ].map((text) =>
          [{}, { writer: 'w1' }, { fromSeq: 500n, toSeq: 900n }].map((filter) =>
            index
              .search({ text, ...filter, k: 40 })
              .hits.map(({ writer, seq, score }) => `${writer} ${seq} ${score}`),
          ),
        )
      index.index(index.pending())
      const before = ask()
      for (const [all = [], ofOne = []] of before) {
        assert.ok(all.length > 0)
        assert.ok(ofOne.length > 0 && ofOne.every((hit) => hit.startsWith('w1 ')))
      }
      assert.equal(before[0]?.[0]?.length, 40)
      assert.equal(before[0]?.[2]?.length, 40)
      index.optimize()
      assert.deepEqual(ask(), before)
      index.clear()
      index.index(index.pending({ writer: 'w1' }))
      index.index(index.pending())
      assert.deepEqual(ask(), before)
    })

    // It hides the extension for a moment, which others of a shared server would notice.
    const skip = place.isOurs ? false : 'the server is not ours alone'
    test('a missing or old pgvector is named, with what to install', { skip }, async (t) => {
      const db = await place.open(t)
      const rename = (from: string, to: string) =>
        db.exec('UPDATE pg_extension SET extname = ? WHERE extname = ?', [to, from])
      rename('vector', 'hidden')
      try {
        assert.throws(() => RecallIndex.create(db, 'v', { vectors: VECTORS }), {
          code: 'RECALL_EXTENSION',
          message: /postgresql-\d+-pgvector.*CREATE EXTENSION vector/,
        })
        RecallIndex.create(db, 'words') // which needs none
      } finally {
        rename('hidden', 'vector')
      }
      const set = "UPDATE pg_extension SET extversion = ? WHERE extname = 'vector'"
      const version = db.query("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
      db.exec(set, ['0.7.4'])
      try {
        assert.throws(() => RecallIndex.create(db, 'v', { vectors: VECTORS }), {
          code: 'RECALL_EXTENSION',
          message: /has 0\.7\.4.*ALTER EXTENSION vector UPDATE/,
        })
      } finally {
        db.exec(set, [String(version[0]?.[0])])
      }
      assert.deepEqual(RecallIndex.names(db), ['words'])
    })

    test('a vector goes there and back in binary, and text does as well', async (t) => {
      const db = await place.open(t)
      const next = numbers(9)
      const floats = Float32Array.from({ length: 5 }, () => (next(2_000) - 1_000) / 8)
      const bytes = new Uint8Array(4 + 4 * floats.length)
      const view = new DataView(bytes.buffer)
      view.setUint16(0, floats.length)
      for (const [i, float] of floats.entries()) view.setFloat32(4 + 4 * i, float)
      const text = `[${[...floats].join()}]`
      assert.deepEqual(db.query('SELECT (?::public.vector)::text', [bytes]), [[text]])
      assert.deepEqual(db.query('SELECT (?::"public".vector)::text', [text]), [[text]])
      assert.throws(() => db.query('SELECT ?::public.vector', [bytes.subarray(0, 9)]), {
        code: 'STORE_BACKEND',
      })
      assert.deepEqual(db.query('SELECT ?::bytea', [bytes]), [[bytes]])
    })
  })
}

function graphOf(db: Backend): unknown {
  return db.query('SELECT graph FROM _agent_store_recall')[0]?.[0]
}
