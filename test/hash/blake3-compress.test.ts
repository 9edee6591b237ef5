/**
 * The generated compression function. What it computes is shown in `blake3.test.ts`.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

test('what is committed is what the generator writes', async () => {
  const generator = new URL('../../tools/kernel/compress.mjs', import.meta.url)
  const { source }: { source(): string } = await import(generator.href)
  const committed = new URL('../../src/hash/blake3-compress.ts', import.meta.url)
  assert.equal(readFileSync(committed, 'utf8'), source())
})
