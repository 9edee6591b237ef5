/**
 * The generated compression function. What it computes is shown in `blake3.test.ts`.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

test('what is committed is what the generator writes', () => {
  const root = join(import.meta.dirname, '..')
  const script =
    "import { source } from './tools/kernel/compress.mjs'; process.stdout.write(source())"
  const written = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    encoding: 'utf8',
  })
  assert.equal(readFileSync(join(root, 'src/blake3-compress.ts'), 'utf8'), written)
})
