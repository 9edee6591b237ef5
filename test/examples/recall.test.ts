/** The example finds the turns that answer its questions, and its embedder is what it says. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { HASHED_LETTERS, hashedLetters, vectorOf } from '../../examples/recall/hashed-letters.ts'

const MAIN = fileURLToPath(new URL('../../examples/recall/main.ts', import.meta.url))

test('the example answers its questions', () => {
  const args = ['-C', '@agent-store/source', MAIN]
  const said = execFileSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(said, /^22 turns indexed/)
  const first = said
    .split('\n\n')
    .slice(1)
    .map((block) => block.split('\n')[1])
  assert.match(first[0] ?? '', /run:flaky-test/)
  assert.match(first[1] ?? '', /run:changelog/)
  assert.match(first[2] ?? '', /run:disk-full/)
  assert.match(first[3] ?? '', /run:übersetzung/)
})

test('hashed letters are the same in every run, and alike for words that are', async () => {
  const [vector] = await hashedLetters.embed(['encryption'], AbortSignal.abort())
  assert.equal(vector?.length, HASHED_LETTERS.dimensions)
  assert.deepEqual(vector, vectorOf('Encryption'))
  const cosine = (a: Float32Array, b: Float32Array) =>
    a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b))
  const near = cosine(vectorOf('encryption'), vectorOf('encrypted'))
  assert.ok(near > 0.2 && near > cosine(vectorOf('encryption'), vectorOf('automobile')) + 0.2)
  assert.equal(vectorOf('')[0], 1)
})
