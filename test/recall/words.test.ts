/** Text as words: what counts as one, what is folded, and where it stops. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askedWords, wordsOf } from '../../src/recall/words.ts'

const asked = (text: string) => askedWords(text).map(({ word }) => word)

test('words are letters and digits, folded', () => {
  assert.deepEqual(wordsOf('Hello, WORLD! 42'), ['hello', 'world', '42'])
  assert.deepEqual(wordsOf('Überraschung naïve ﬁn Ⅻ'), ['uberraschung', 'naiv', 'fin', 'xii'])
  assert.deepEqual(wordsOf('ΆΛΦΑ ёлка'), ['αλφα', 'елка'])
  assert.deepEqual(wordsOf('!? -- \u0000 🙂'), [])
})

test('a name is its parts and the whole', () => {
  assert.deepEqual(wordsOf('readFileSync'), ['read', 'fil', 'sync', 'readfilesync'])
  assert.deepEqual(wordsOf('FUN_004016ba'), ['fun', '004016ba', 'fun004016ba'])
  assert.deepEqual(wordsOf('HTTPServer'), ['http', 'server', 'httpserver'])
  assert.deepEqual(wordsOf('src/fields.py:1474'), ['src', 'field', 'py', '1474'])
})

test('scripts without spaces are pairs of letters', () => {
  assert.deepEqual(wordsOf('数据库 db满'), ['数据', '据库', 'db', '满'])
  assert.deepEqual(wordsOf('ใหม่'), wordsOf('ใหม่'))
})

test('forms of an English word meet', () => {
  for (const forms of [
    'fix fixes fixed fixing',
    'parse parses parsed parsing',
    'run runs running',
    'query queries',
    'decode decodes decoded decoding',
    'class classes',
    'submit submitted submitting',
  ]) {
    const roots = new Set(wordsOf(forms))
    assert.equal(roots.size, 1, `${forms}: ${[...roots]}`)
  }
  assert.deepEqual(wordsOf('is was status bus'), ['is', 'was', 'status', 'bus'])
})

test('a question leaves out what every text has, unless there is nothing else', () => {
  assert.deepEqual(asked('What is the flag?'), ['flag'])
  assert.deepEqual(asked('does this flag'), ['flag'])
  assert.deepEqual(asked('what is it'), ['what', 'is', 'it'])
  assert.deepEqual(asked('flag flags FLAG'), ['flag'])
  assert.deepEqual(askedWords('decr* the*'), [
    { word: 'decr', isPrefix: true },
    { word: 'the', isPrefix: true },
  ])
  assert.deepEqual(asked('* ** %'), [])
})

test('what begins a word is asked for without the ending that is not kept', () => {
  for (const [typed, word] of [
    ['deploy*', 'deploy'],
    ['deploying*', 'deploy'],
    ['configure*', 'configur'],
    ['queries*', 'quer'],
    ['caches*', 'cach'],
    ['readFi*', 'readfi'],
  ] as const) {
    assert.deepEqual(askedWords(typed), [{ word, isPrefix: true }])
    for (const kept of wordsOf(typed)) assert.ok(kept.startsWith(word) || typed === 'readFi*', kept)
  }
  assert.deepEqual(asked('数据库*'), ['数据', '据库'])
})

test('marks without end take no time', () => {
  const start = performance.now()
  assert.deepEqual(wordsOf(`e${'\u0316\u0301'.repeat(200_000)} x`), ['e', 'x'])
  assert.ok(performance.now() - start < 10_000)
})

test('it stops at sane limits', () => {
  assert.deepEqual(wordsOf('a'.repeat(41)), [])
  assert.equal(wordsOf('word '.repeat(30_000)).length, 20_000)
  assert.equal(asked(Array.from({ length: 500 }, (_, i) => `w${i}`).join(' ')).length, 64)
})
