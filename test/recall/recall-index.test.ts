/** One index on every database: what it finds, what it refuses, and that the log has the last word. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Backend, chainHash, type Entry, WriterLog } from 'agent-store'
import { type Question, RecallIndex } from 'agent-store/recall'
import { insertRaw, utf8 } from '../support.ts'
import { clustered } from './clustered.ts'
import { PLACES } from './places.ts'

const VECTORS = { model: 'hand', dimensions: 3, distance: 'cosine' } as const

/** What was found, in short: the writer and seq of each hit. */
function found(index: RecallIndex, question: Question): string[] {
  return index.search(question).hits.map(({ writer, seq }) => `${writer} ${seq}`)
}

/** Entries of several writers in two streams, indexed by their words. */
function indexed(db: Backend): RecallIndex {
  WriterLog.appendMany(db, 'run:login', 'alice', [
    'The login test fails one time in ten.',
    'It reads the old token.',
  ])
  WriterLog.append(db, 'run:login', 'bob', 'Fixed: the token is read at the time of use.')
  WriterLog.append(db, 'run:disk', 'alice', 'The disk is full in fourteen hours.')
  const index = RecallIndex.create(db, 'words')
  index.index(index.pending())
  return index
}

for (const place of PLACES) {
  suite(place.name, { skip: place.skip }, () => {
    test('finds entries by their words, the best first, with their place in the chain', async (t) => {
      const db = await place.open(t)
      const index = indexed(db)
      const { hits, stale } = index.search({ text: 'which test reads the old token?' })
      assert.deepEqual(stale, [])
      const [first] = hits
      assert.equal(first?.writer, 'alice')
      assert.equal(first.seq, 2n)
      const entry = WriterLog.entry(db, 'run:login', 'alice', 2n)
      assert.deepEqual(first.contentHash, entry?.contentHash)
      assert.deepEqual(first.entry, entry)
      assert.equal(first.textRank, 1)
      assert.equal(first.vectorRank, undefined)
      assert.deepEqual(found(index, { text: 'disks' }), ['alice 1'])
      assert.deepEqual(found(index, { text: 'giraffe' }), [])
      assert.equal(index.search({ text: 'token', k: 1 }).hits.length, 1)
    })

    test('looks only where it is told to', async (t) => {
      const db = await place.open(t)
      const index = indexed(db)
      const text = 'token disk test'
      assert.deepEqual(found(index, { text, stream: 'run:disk' }), ['alice 1'])
      assert.deepEqual(found(index, { text, prefix: 'run:d' }), ['alice 1'])
      assert.deepEqual(found(index, { text, writer: 'bob' }), ['bob 1'])
      assert.deepEqual(found(index, { text, stream: ['run:login'], fromSeq: 2n }), ['alice 2'])
      assert.deepEqual(found(index, { text, stream: [] }), [])
      assert.equal(found(index, { text, toSeq: 1n }).length, 3)
      assert.equal(found(index, { text, prefix: '' }).length, 4)
      assert.throws(() => found(index, { text, stream: 'a', prefix: 'b' }), /exclude each other/)
      assert.throws(() => found(index, { text, fromSeq: -1n }), RangeError)
      assert.throws(() => found(index, { text, toSeq: 3 as never }), TypeError)
      const streams = Array.from({ length: 1_001 }, (_, i) => `${i}`)
      assert.throws(() => found(index, { text, stream: streams }), /at most 1000/)
    })

    test('takes whatever is typed for words', async (t) => {
      const index = indexed(await place.open(t))
      for (const text of [
        '"',
        "'",
        "') OR 1=1 --",
        'token AND',
        'NOT token',
        'NEAR(token, 2)',
        'words:token',
        '{words}: token',
        'token^2 -test +(',
        '*',
        '***token***',
        'a & b | !c <-> d:*',
        '\\',
        '\\token\\',
        '%_',
        '?',
        '$1',
        '\u0000token',
        '\ud800token',
        '🙂',
        'x'.repeat(100_000),
        'token '.repeat(10_000),
      ]) {
        const hits = found(index, { text })
        assert.equal(hits.includes('alice 2'), text.includes('token'), JSON.stringify(text))
      }
    })

    test('finds the beginning of a word, other cases, accents and scripts', async (t) => {
      const db = await place.open(t)
      const payloads = [
        'Die Übersetzung der Fehlermeldungen ist fertig.',
        'FUN_004016ba calls readFileSync in src/marshmallow/fields.py',
        '数据库已满，请清理磁盘。',
        'Ошибка подключения к серверу',
        'ディスクがいっぱいです',
        'गलत पासवर्ड',
      ]
      WriterLog.appendMany(db, 's', 'w', payloads)
      const index = RecallIndex.create(db, 'words')
      index.index(index.pending())
      for (const [text, seq] of [
        ['ubersetzung', 1],
        ['ÜBERSETZUNG', 1],
        ['fehler*', 1],
        ['004016ba', 2],
        ['fun_004016ba', 2],
        ['read file sync', 2],
        ['readfilesync', 2],
        ['fields.py', 2],
        ['磁盘', 3],
        ['数据库', 3],
        ['ошибка', 4],
        ['ディスク', 5],
        ['पासवर्ड', 6],
      ] as const) {
        assert.deepEqual(found(index, { text }), [`w ${seq}`], text)
      }
      assert.deepEqual(found(index, { text: 'fehler' }), [])
    })

    test('finds entries by vector, and by both together', async (t) => {
      const db = await place.open(t)
      const entries = WriterLog.appendMany(db, 's', 'w', ['red apple', 'green apple', 'blue sky'])
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      index.index(entries, [
        [1, 0, 0],
        [0, 2, 0],
        [0, 0.1, 1],
      ])
      const { hits } = index.search({ vector: [0, 5, 0.1], k: 2 })
      assert.deepEqual(
        hits.map(({ seq }) => seq),
        [2n, 3n],
      )
      assert.ok((hits[0]?.score ?? 0) > 0.999 && (hits[0]?.score ?? 0) <= 1.000001)
      assert.equal(hits[0]?.vectorRank, 1)
      assert.equal(hits[0].textRank, undefined)
      const both = index.search({ text: 'apple', vector: Float32Array.of(0, 1, 0.9) }).hits
      assert.equal(both[0]?.seq, 2n)
      assert.equal(both[0].score, 1 / (60 + (both[0].textRank ?? 0)) + 1 / 61)
      assert.equal(both.length, 3)
      assert.deepEqual(found(index, { text: 'sky' }), ['w 3'])
    })

    test('compares vectors by each distance', async (t) => {
      const db = await place.open(t)
      const entries = WriterLog.appendMany(db, 's', 'w', ['a', 'b', 'c'])
      const vectors = [
        [1, 0],
        [10, 1],
        [0, 0.5],
      ]
      const order = { cosine: [1n, 2n, 3n], dot: [2n, 1n, 3n], l2: [1n, 3n, 2n] } as const
      for (const distance of ['cosine', 'dot', 'l2'] as const) {
        const index = RecallIndex.create(db, distance, {
          vectors: { model: 'm', dimensions: 2, distance },
        })
        index.index(entries, vectors)
        const { hits } = index.search({ vector: [1, 0.01] })
        assert.deepEqual(
          hits.map(({ seq }) => seq),
          order[distance],
          distance,
        )
        const scores = hits.map(({ score }) => score)
        assert.deepEqual(
          scores,
          scores.toSorted((a, b) => b - a),
        )
      }
    })

    test('an entry that changed or vanished is reported, not returned', async (t) => {
      const db = await place.open(t)
      const index = indexed(db)
      const entry = WriterLog.entry(db, 'run:login', 'alice', 2n)
      db.exec("DELETE FROM _agent_store_log WHERE writer = 'bob'")
      db.exec('UPDATE _agent_store_log SET payload = ? WHERE stream = ?', [utf8('x'), 'run:disk'])
      db.exec('UPDATE _agent_store_log SET content_hash = ? WHERE seq = 2', [new Uint8Array(32)])
      const { hits, stale } = index.search({ text: 'token disk test' })
      assert.deepEqual(
        hits.map(({ writer, seq }) => `${writer} ${seq}`),
        ['alice 1'],
      )
      assert.deepEqual(
        stale.map(({ writer, seq, reason }) => `${writer} ${seq} ${reason}`).sort(),
        ['alice 1 broken', 'alice 2 changed', 'bob 1 vanished'],
      )
      assert.deepEqual(stale.find(({ seq }) => seq === 2n)?.contentHash, entry?.contentHash)
    })

    test('stale rows do not crowd out what is still true', async (t) => {
      const db = await place.open(t)
      WriterLog.appendMany(
        db,
        's',
        'w',
        Array.from({ length: 40 }, () => 'needle'),
      )
      const index = RecallIndex.create(db, 'words')
      index.index(index.pending())
      db.exec('DELETE FROM _agent_store_log WHERE seq <= 35')
      const { hits, stale } = index.search({ text: 'needle', k: 5 })
      assert.equal(hits.length, 5)
      assert.equal(stale.length, 35)
    })

    test('keeps its cursor, and takes each entry once', async (t) => {
      const db = await place.open(t)
      const entries = WriterLog.appendMany(db, 's', 'w', ['one', 'two', '\u0000', 'four', 'five'])
      const index = RecallIndex.create(db, 'words')
      assert.equal(index.index(entries.slice(0, 2)), 2)
      assert.equal(index.index(entries.slice(0, 3)), 0)
      assert.deepEqual(seqs(index.cursor()), [3n])
      assert.equal(index.index(entries.slice(4)), 1)
      assert.deepEqual(seqs(index.cursor()), [3n])
      assert.equal(index.status().behind, 2n)
      assert.deepEqual(seqs([...index.pending()]), [4n, 5n])
      assert.equal(index.index(index.pending()), 1)
      assert.deepEqual([...index.pending()], [])
      assert.deepEqual(index.status(), {
        name: 'words',
        vectors: undefined,
        entries: 4n,
        withVector: 0n,
        logs: 1,
        behind: 0n,
      })
    })

    test('vectors may come after the words', async (t) => {
      const db = await place.open(t)
      const entries = WriterLog.appendMany(db, 's', 'w', ['one', 'two'])
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      index.index(entries)
      assert.deepEqual(found(index, { vector: [1, 0, 0] }), [])
      assert.equal(index.index(entries, [[1, 0, 0], null]), 1)
      assert.deepEqual(found(index, { vector: [1, 0, 0] }), ['w 1'])
      assert.deepEqual(found(index, { text: 'one' }), ['w 1'])
      assert.equal(index.status().withVector, 1n)
    })

    test('an entry that was indexed before its time is replaced by what the log has in its place', async (t) => {
      const db = await place.open(t)
      const [first, second] = WriterLog.appendMany(db, 's', 'w', ['one', 'two']) as [Entry, Entry]
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      index.index([second], [[1, 0, 0]])
      assert.deepEqual(found(index, { vector: [1, 0, 0] }), ['w 2'])
      db.exec('DELETE FROM _agent_store_log WHERE seq = 2')
      const [other] = forked(db, first, ['deux']) as [Entry]
      assert.equal(index.search({ text: 'two' }).stale[0]?.reason, 'changed')
      index.index(
        [first, other],
        [
          [0, 0, 1],
          [0, 1, 0],
        ],
      )
      assert.deepEqual(found(index, { text: 'two' }), [])
      assert.deepEqual(found(index, { vector: [1, 0.1, 0] }), ['w 2', 'w 1'])
      assert.ok((index.search({ vector: [0, 1, 0] }).hits[0]?.score ?? 0) > 0.99)
      assert.deepEqual(index.status().entries, 2n)
    })

    test('what is rolled back is not found', async (t) => {
      const db = await place.open(t)
      const entries = WriterLog.appendMany(db, 's', 'w', ['one', 'two', 'three'])
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      const [first, second, third] = entries as [Entry, Entry, Entry]
      index.index([first], [[1, 0, 0]])
      const vector = [0, 1, 0.1]
      assert.throws(() =>
        db.transaction(() => {
          index.index([second], [[0, 1, 0]])
          assert.deepEqual(found(index, { vector, k: 1 }), ['w 2'])
          throw new Error('no')
        }),
      )
      assert.deepEqual(found(index, { vector }), ['w 1'])
      index.index(
        [second, third],
        [
          [0, 0, 1],
          [0, 1, 0],
        ],
      )
      assert.deepEqual(found(index, { vector }), ['w 3', 'w 2', 'w 1'])
      assert.throws(() =>
        db.transaction(() => {
          index.clear()
          assert.deepEqual(found(index, { vector }), [])
          index.index([first], [[0, 1, 0]])
          assert.deepEqual(found(index, { vector }), ['w 1'])
          throw new Error('no')
        }),
      )
      assert.deepEqual(found(index, { vector }), ['w 3', 'w 2', 'w 1'])
    })

    test('made again from the log, it gives the same answers', async (t) => {
      const db = await place.open(t)
      const next = clustered(8, 5, 7)
      const entries = ['b', 'a', 'c'].flatMap((writer) =>
        WriterLog.appendMany(
          db,
          's',
          writer,
          Array.from({ length: 30 }, (_, i) => `turn ${i % 7}`),
        ),
      )
      const vectors = new Map(entries.map((entry) => [entry.contentHash.join(), next()]))
      const vectorsOf = (some: readonly Entry[]) =>
        some.map(({ contentHash }) => vectors.get(contentHash.join()) ?? null)
      const index = RecallIndex.create(db, 'v', {
        vectors: { model: 'm', dimensions: 8, distance: 'l2' },
      })
      index.index(entries, vectorsOf(entries))
      const questions: Question[] = [
        { text: 'turn 3' },
        { vector: next() },
        { text: '5', vector: next(), writer: 'a' },
      ]
      const before = questions.map((question) => index.search(question))
      index.clear()
      assert.equal(index.status().behind, 90n)
      const pending = [...index.pending()]
      index.index(pending, vectorsOf(pending))
      assert.deepEqual(
        questions.map((question) => index.search(question)),
        before,
      )
    })

    test('made again in another order, it gives entries that are alike in the same order', async (t) => {
      const db = await place.open(t)
      for (const writer of ['b', 'a']) {
        WriterLog.appendMany(
          db,
          's',
          writer,
          Array.from({ length: 40 }, () => 'Done.'),
        )
      }
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      const take = (writer: string) => {
        const entries = [...index.pending({ writer })]
        index.index(
          entries,
          entries.map(() => [1, 0, 0]),
        )
      }
      const ask = () => [
        found(index, { vector: [1, 0, 0] }),
        found(index, { text: 'done' }),
        found(index, { text: 'done', vector: [0, 1, 0], fromSeq: 9n }),
      ]
      take('b')
      take('a')
      const before = ask()
      assert.deepEqual(before[0]?.slice(0, 3), ['a 1', 'a 2', 'a 3'])
      index.clear()
      take('a')
      take('b')
      assert.deepEqual(ask(), before)
    })

    test('a word that is common elsewhere is found where it is asked for', async (t) => {
      const db = await place.open(t)
      const common = Array.from({ length: 6_100 }, (_, i) => `deploy number ${i}`)
      WriterLog.appendMany(db, 'theirs', 'w', common)
      WriterLog.append(db, 'theirs', 'w', 'zanzibar')
      WriterLog.appendMany(db, 'mine', 'w', ['deploy it', 'number it', 'rest'])
      const index = RecallIndex.create(db, 'words')
      index.index(index.pending())
      const stream = 'mine'
      assert.deepEqual(found(index, { text: 'deploy', stream }), ['w 1'])
      assert.deepEqual(found(index, { text: 'deploy zanzibar', stream }), ['w 1'])
      const all = (text: string) => new Set(found(index, { text, stream }))
      assert.deepEqual(all('deploy number'), new Set(['w 1', 'w 2']))
      assert.deepEqual(all('rest deploy number'), new Set(['w 1', 'w 2', 'w 3']))
      const everywhere = index.search({ text: 'deploy zanzibar' }).hits
      assert.equal(everywhere.length, 10)
      assert.equal(everywhere[0]?.seq, 6_101n)
    })

    test('the entry that says it best is found among very many that say it', async (t) => {
      const db = await place.open(t)
      const long = Array.from({ length: 1_000 }, (_, i) => `token ${`filler${i} `.repeat(200)}`)
      WriterLog.appendMany(db, 's', 'w', [...long, 'token rotation token'])
      const index = RecallIndex.create(db, 'words')
      index.index(index.pending())
      assert.deepEqual(found(index, { text: 'token', k: 1 }), ['w 1001'])
      assert.equal(found(index, { text: 'tokens', k: 1_000 })[0], 'w 1001')
    })

    test('an entry of very many long words holds up no other', async (t) => {
      const db = await place.open(t)
      const word = (i: number) => `ж${'ъ'.repeat(33)}${i}`
      const words = Array.from({ length: 25_000 }, (_, i) => word(i))
      WriterLog.appendMany(db, 's', 'w', [words.join(' '), 'after'])
      const index = RecallIndex.create(db, 'words')
      assert.equal(index.index(index.pending()), 2)
      assert.deepEqual(found(index, { text: 'after' }), ['w 2'])
      assert.deepEqual(found(index, { text: word(100) }), ['w 1'])
    })

    test('searches leave the settings of a snapshot that they are in alone', async (t) => {
      const db = await place.open(t)
      const index = indexed(db)
      if (db.dialect === 'sqlite') return
      const read = () =>
        db.query(`SELECT current_setting('enable_seqscan'), current_setting('plan_cache_mode'),
          coalesce(nullif(current_setting('gin_fuzzy_search_limit', true), ''), '0'), current_setting('jit')`)
      db.snapshot(() => {
        const before = read()
        assert.equal(index.search({ text: 'token' }).hits.length, 2)
        assert.deepEqual(read(), before)
      })
    })

    test('an index that others dropped or made anew is seen to', async (t) => {
      const db = await place.open(t)
      const [entry] = WriterLog.appendMany(db, 's', 'w', ['one']) as [Entry]
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      const vector = [1, 0, 0]
      index.index([entry], [vector])
      RecallIndex.drop(db, 'v')
      const unknown = { code: 'RECALL_UNKNOWN_INDEX' }
      assert.throws(() => index.search({ vector }), unknown)
      assert.throws(() => index.index([entry], [vector]), unknown)
      assert.throws(() => index.status(), unknown)
      assert.throws(() => [...index.pending()], unknown)
      assert.throws(() => index.clear(), unknown)
      assert.throws(() => index.optimize(), unknown)
      const other = RecallIndex.create(db, 'v', { vectors: { ...VECTORS, model: 'other' } })
      const wrong = { code: 'RECALL_DEFINITION', field: 'model' }
      assert.throws(() => index.index([entry], [vector]), wrong)
      assert.throws(() => index.search({ vector }), wrong)
      assert.equal(other.status().entries, 0n)
      RecallIndex.drop(db, 'v')
      const words = RecallIndex.create(db, 'v')
      assert.throws(() => index.search({ text: 'one' }), wrong)
      assert.throws(() => other.status(), wrong)
      RecallIndex.create(db, 'before') // Takes the place in which the next one would lie.
      RecallIndex.drop(db, 'v')
      assert.throws(() => words.search({ text: 'one' }), unknown)
      RecallIndex.create(db, 'v', { vectors: VECTORS })
      assert.deepEqual(index.search({ vector }).hits, [])
      assert.equal(index.index([entry], [vector]), 1)
      assert.deepEqual(found(index, { vector }), ['w 1'])
      assert.throws(() => words.search({ text: 'one' }), wrong)
    })

    test('several indexes lie beside each other, and none touches the log', async (t) => {
      const db = await place.open(t)
      const before = WriterLog.appendMany(db, 's', 'w', ['one', 'two'])
      const words = RecallIndex.create(db, 'words')
      const small = RecallIndex.create(db, 'small', { vectors: VECTORS })
      words.index(words.pending())
      small.index(before, [
        [1, 0, 0],
        [0, 1, 0],
      ])
      assert.deepEqual(RecallIndex.names(db), ['small', 'words'])
      RecallIndex.drop(db, 'words')
      assert.deepEqual(RecallIndex.names(db), ['small'])
      assert.deepEqual(found(small, { vector: [0, 1, 0], k: 1 }), ['w 2'])
      assert.throws(() => RecallIndex.open(db, 'words'), {
        code: 'RECALL_UNKNOWN_INDEX',
        known: ['small'],
      })
      assert.deepEqual(
        WriterLog.entries(db, 's', 'w').map(({ seq }) => seq),
        [1n, 2n],
      )
      assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 2n)
    })

    test('an index is only ever what it was created for', async (t) => {
      const db = await place.open(t)
      const [entry] = WriterLog.appendMany(db, 's', 'w', ['one']) as [Entry]
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      assert.deepEqual(RecallIndex.create(db, 'v', { vectors: VECTORS }).vectors, VECTORS)
      assert.deepEqual(RecallIndex.open(db, 'v', { vectors: { model: 'hand' } }).vectors, VECTORS)
      const other = { code: 'RECALL_DEFINITION', field: 'model' }
      assert.throws(() => RecallIndex.open(db, 'v', { vectors: { model: 'other' } }), other)
      assert.throws(() => RecallIndex.create(db, 'v'), other)
      assert.throws(() => index.search({ vector: [1, 0, 0], model: 'other' }), other)
      assert.throws(() => index.index([entry], [[1, 0, 0]], { model: 'other' }), other)
      const dimensions = { code: 'RECALL_DEFINITION', field: 'dimensions' }
      const wider = { vectors: { ...VECTORS, dimensions: 4 } }
      assert.throws(() => RecallIndex.create(db, 'v', wider), dimensions)
      const words = RecallIndex.create(db, 'words')
      assert.throws(() => words.search({ vector: [1, 0, 0] }), dimensions)
      assert.throws(() => words.index([entry], [[1, 0, 0]]), dimensions)
      assert.throws(() => RecallIndex.create(db, 'words', { vectors: VECTORS }), other)
    })

    test('bad vectors and questions are refused, and nothing is written', async (t) => {
      const db = await place.open(t)
      const [entry] = WriterLog.appendMany(db, 's', 'w', ['one']) as [Entry]
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      for (const bad of [
        [1, 2],
        [1, 2, 3, 4],
        [1, Number.NaN, 0],
        [1, Number.POSITIVE_INFINITY, 0],
        [1e300, 0, 0],
        [0, 0, 0],
        [],
      ]) {
        assert.throws(() => index.index([entry], [bad]), RangeError, String(bad))
        assert.throws(() => index.search({ vector: bad }), RangeError, String(bad))
      }
      assert.throws(() => index.search({ vector: 'abc' as never }), TypeError)
      assert.throws(() => index.search({ vector: ['1', 2, 3] as never }), TypeError)
      assert.throws(() => index.index([entry], []), RangeError)
      for (const k of [0, -1, 1.5, 1_001, Number.NaN]) {
        assert.throws(() => index.search({ text: 'one', k }), RangeError, String(k))
      }
      assert.throws(() => index.search({ text: 'one', k: '5' as never }), TypeError)
      assert.throws(() => index.search({ text: '' }), RangeError)
      assert.throws(() => index.search({ text: ' \n' }), RangeError)
      assert.throws(() => index.search({ text: 7 as never }), TypeError)
      assert.throws(() => index.search({}), TypeError)
      assert.equal(index.status().entries, 0n)
      const vectors = (change: object) => ({ vectors: { ...VECTORS, ...change } })
      assert.throws(() => RecallIndex.create(db, 'x', vectors({ dimensions: 0 })), RangeError)
      assert.throws(() => RecallIndex.create(db, 'x', vectors({ dimensions: 4_001 })), RangeError)
      assert.throws(() => RecallIndex.create(db, 'x', vectors({ distance: 'jaccard' })), RangeError)
      assert.throws(() => RecallIndex.create(db, 'x\0'), TypeError)
      const zero = RecallIndex.create(db, 'dot', vectors({ distance: 'dot' }))
      zero.index([entry], [[0, 0, 0]])
      assert.throws(() => zero.index([entry], [[1e19, 0, 0]]), RangeError)
      assert.throws(() => zero.search({ vector: [1e19, 1e19, 0] }), /length/)
      assert.equal(zero.search({ vector: [1, 0, 0] }).hits[0]?.score, 0)
    })

    test('a log that is not the one that was indexed is refused', async (t) => {
      const db = await place.open(t)
      const [one, two] = WriterLog.appendMany(db, 's', 'w', ['one', 'two']) as [Entry, Entry]
      const index = RecallIndex.create(db, 'words')
      index.index([one, two])
      const wrong = { code: 'RECALL_CURSOR', seq: 2n }
      db.exec('DELETE FROM _agent_store_log WHERE seq = 2')
      assert.throws(() => [...index.pending()], wrong)
      const [, other] = forked(db, one, ['deux', 'trois'])
      assert.throws(() => [...index.pending()], wrong)
      assert.throws(() => index.index([other as Entry]), wrong)
      index.clear()
      assert.equal(index.index(index.pending()), 3)
      WriterLog.appendMany(db, 't', 'v', ['one', 'two', 'three', 'four', 'five'])
      db.exec("DELETE FROM _agent_store_log WHERE stream = 's'")
      assert.equal(index.status().behind, 5n)
      const rest: Entry[] = []
      const gone = { code: 'RECALL_CURSOR', stream: 's', seq: 3n }
      assert.throws(() => {
        for (const entry of index.pending()) rest.push(entry)
      }, gone)
      assert.equal(index.index(rest), 5, 'the other log can be indexed all the same')
      assert.throws(() => [...index.pending({ stream: 's' })], gone)
      assert.deepEqual([...index.pending({ stream: 't' })], [])
      assert.deepEqual([...index.pending({ prefix: 't' })], [])
      assert.deepEqual([...index.pending({ writer: 'v' })], [])
      const both = { stream: 's', prefix: 's' }
      assert.throws(() => [...index.pending(both)], /exclude each other/)
    })

    test('tables that somebody damaged are named', async (t) => {
      const db = await place.open(t)
      RecallIndex.ensureSchema(db)
      RecallIndex.ensureSchema(db)
      assert.deepEqual(RecallIndex.names(db), [])
      const index = RecallIndex.create(db, 'v', { vectors: VECTORS })
      const entries = WriterLog.appendMany(db, 's', 'w', ['one', 'two'])
      index.index(entries, [[1, 0, 0], null])
      const damaged = { code: 'STORE_MALFORMED_ROW' }
      const part = (name: string) => `_agent_store_recall_1_${name}`
      db.exec(`UPDATE ${part('log')} SET content_hash = NULL`)
      assert.throws(() => index.cursor(), damaged)
      if (db.dialect === 'sqlite') {
        // Where columns keep their types, there is less to damage.
        db.exec(`UPDATE ${part('log')} SET seq = 'x'`)
        assert.throws(() => index.index(entries, [null, [1, 0, 0]]), damaged)
        db.exec(`UPDATE ${part('log')} SET seq = 0`)
        db.exec(`UPDATE ${part('entry')} SET content_hash = 'x'`)
        assert.throws(() => index.index(entries, [null, [1, 0, 0]]), damaged)
        assert.throws(() => index.search({ text: 'one' }), damaged)
        db.exec(`UPDATE ${part('vector')} SET vector = x'00'`)
        assert.deepEqual(index.search({ vector: [1, 0, 0] }).hits, [])
      }
      db.exec("UPDATE _agent_store_recall SET distance = 'far'")
      assert.throws(() => index.status(), damaged)
      assert.throws(() => RecallIndex.open(db, 'v'), /index "v" is damaged; drop the index/)
      RecallIndex.drop(db, 'v')
      assert.deepEqual(RecallIndex.names(db), [])
    })

    test('an index stored in another way is refused', async (t) => {
      const db = await place.open(t)
      indexed(db)
      db.exec('UPDATE _agent_store_recall SET version = 3')
      assert.throws(() => RecallIndex.open(db, 'words'), { code: 'RECALL_VERSION', found: 3n })
      assert.throws(() => RecallIndex.create(db, 'words'), { code: 'RECALL_VERSION' })
      RecallIndex.drop(db, 'words')
      assert.throws(() => RecallIndex.drop(db, 'words'), { code: 'RECALL_UNKNOWN_INDEX' })
      assert.equal(RecallIndex.create(db, 'words').status().behind, 4n)
    })
  })
}

function seqs(list: readonly { readonly seq: bigint }[]): bigint[] {
  return list.map(({ seq }) => seq)
}

/** Another history behind the first entry, as somebody else's store would have it. */
function forked(db: Backend, first: Entry, payloads: readonly string[]): Entry[] {
  let prevHash = first.contentHash
  return payloads.map((text, i) => {
    const payload = utf8(text)
    const contentHash = chainHash(prevHash, payload)
    const entry = { stream: 's', writer: 'w', seq: BigInt(i + 2), prevHash, contentHash, payload }
    insertRaw(db, ['s', 'w', entry.seq, prevHash, contentHash, payload])
    prevHash = contentHash
    return entry
  })
}
