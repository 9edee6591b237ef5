/**
 * An embedder without a model: letters of words, hashed into 384 numbers. It is deterministic,
 * needs no network, and knows nothing of meaning: it sees that `encrypt` and `encryption` are
 * alike, and never that `car` and `automobile` are. For examples and tests; use a model for
 * anything else.
 *
 * @module
 */
import type { Embedder } from 'agent-store/recall'

/** What an index for it is created with. */
export const HASHED_LETTERS = {
  model: 'example/hashed-letters-1',
  dimensions: 384,
  distance: 'cosine',
} as const

/** Words of this many letters at least; shorter ones are in every text. */
const LEAST_LETTERS = 3
const GRAM = 4
/** What follows is the same in all texts of this length. */
const MOST_WORDS = 2_000

/** An {@link Embedder} of its own kind. */
export const hashedLetters: Embedder = {
  model: HASHED_LETTERS.model,
  async embed(texts) {
    return texts.map(vectorOf)
  },
}

/** The vector of a text; of one without words, the first axis. */
export function vectorOf(text: string): Float32Array {
  const counts = new Map<string, number>()
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  for (const word of words.slice(0, MOST_WORDS)) {
    if (word.length >= LEAST_LETTERS) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  const vector = new Float32Array(HASHED_LETTERS.dimensions)
  for (const [word, count] of counts) {
    // A longer word says more, and one that comes often says little more than the first time.
    const weight = (1 + Math.log(count)) * Math.log(word.length)
    add(vector, word, weight)
    const framed = `<${word}>`
    const grams = Math.max(framed.length - GRAM + 1, 1)
    for (let i = 0; i < grams; i++)
      add(vector, framed.slice(i, i + GRAM), weight / Math.sqrt(grams))
  }
  if (vector.every((component) => component === 0)) vector[0] = 1
  return vector
}

function add(vector: Float32Array, feature: string, weight: number): void {
  const hash = fnv1a(feature)
  const at = hash % vector.length
  vector[at] = (vector[at] ?? 0) + (hash & 0x8000_0000 ? -weight : weight)
}

/** FNV-1a, 32 bits, over UTF-16 units. Source: http://www.isthe.com/chongo/tech/comp/fnv/ */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}
