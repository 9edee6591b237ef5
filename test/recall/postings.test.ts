/** Which words of a question are looked up: the rarest first, and never too many entries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CountedWord, tellingWords, wordsInReserve } from '../../src/recall/postings.ts'

const inShort = (words: readonly CountedWord[]) => words.map(({ word }) => word.word).join(' ')

/** What is told apart where so many entries have each word. */
function told(entries: Readonly<Record<string, number>>) {
  const counted = Object.entries(entries).map(([word, count]) => ({
    word: { word, isPrefix: false },
    entries: count,
  }))
  return tellingWords(counted, 100)
}

test('words are taken from the rarest on, as long as few entries have them', () => {
  for (const [entries, rare, common] of [
    [{ common: 90, rare: 3, none: 0, some: 20 }, 'rare some', 'common'],
    [{ a: 50, b: 50 }, 'a b', ''],
    [{ a: 5_000, b: 101 }, '', 'b a'],
    [{ none: 0 }, '', ''],
    [{}, '', ''],
  ] as const) {
    const telling = told(entries)
    assert.deepEqual([inShort(telling.rare), inShort(telling.common)], [rare, common])
  }
})

test('where too little is found, common words help: the rarest, or under a filter any', () => {
  const reserve = (entries: Readonly<Record<string, number>>, isAll: boolean) =>
    inShort(wordsInReserve(told(entries), isAll))
  assert.equal(reserve({ rare: 3, a: 200, b: 300 }, true), 'a')
  assert.equal(reserve({ rare: 3, a: 200, b: 300 }, false), 'a b')
  assert.equal(reserve({ a: 200, b: 300 }, true), 'a')
  assert.equal(reserve({ a: 200 }, false), '', 'it was looked for already')
  assert.equal(reserve({ rare: 3 }, true), '')
})
