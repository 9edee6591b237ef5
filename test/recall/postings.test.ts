/** Which words of a question are looked up: the rarest first, and never too many entries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tellingWords } from '../../src/recall/postings.ts'

/** What is looked up where so many entries have each word. */
function lookedUp(entries: Readonly<Record<string, number>>) {
  const counted = Object.entries(entries).map(([word, count]) => ({
    word: { word, isPrefix: false },
    entries: count,
  }))
  const telling = tellingWords(counted, 100)
  return telling && [telling.words.map(({ word }) => word.word).join(' '), telling.areCommon]
}

test('words are taken from the rarest on, as long as few entries have them', () => {
  assert.deepEqual(lookedUp({ common: 90, rare: 3, none: 0, some: 20 }), ['rare some', false])
  assert.deepEqual(lookedUp({ a: 50, b: 50 }), ['a b', false])
  assert.equal(lookedUp({ none: 0 }), undefined)
  assert.equal(lookedUp({}), undefined)
})

test('where all are common, an entry should have all of them', () => {
  assert.deepEqual(lookedUp({ a: 5_000, b: 101 }), ['b a', true])
})
