/** Which words of a question are looked up: the rarest first, and never too many entries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tellingWords } from '../../src/recall/postings.ts'

/** What is looked up where so many entries have each word, and `together` all of them. */
function lookedUp(entries: Readonly<Record<string, number>>, together = 0) {
  const words = Object.keys(entries).map((word) => ({ word, isPrefix: false }))
  const telling = tellingWords(words, 100, (groups, most) =>
    groups.map((group) => {
      const [first] = group
      const count = group.length > 1 ? together : (entries[first?.word ?? ''] ?? 0)
      return Math.min(count, most)
    }),
  )
  return telling && [telling.words.map(({ word }) => word).join(' '), telling.all]
}

test('words are taken from the rarest on, as long as few entries have them', () => {
  assert.deepEqual(lookedUp({ common: 90, rare: 3, none: 0, some: 20 }), ['rare some', false])
  assert.deepEqual(lookedUp({ a: 50, b: 50 }), ['a b', false])
  assert.equal(lookedUp({ none: 0 }), undefined)
  assert.equal(lookedUp({}), undefined)
})

test('where all are common, entries with all of them are looked for, or with the rarest', () => {
  assert.deepEqual(lookedUp({ a: 5_000, b: 101 }, 7), ['a b', true])
  assert.deepEqual(lookedUp({ a: 5_000, b: 101 }), ['a', true])
})
