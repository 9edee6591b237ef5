/** HACKING.md answers twenty questions of a newcomer, and every file that it names is there. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')
const page = readFileSync(join(root, 'HACKING.md'), 'utf8')
const { scripts }: { scripts: Readonly<Record<string, string>> } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)

test('twenty questions have an answer, each a file that exists', () => {
  const rows = [...page.matchAll(/^\| .*\? .*\| `([^`]+)` \|$/gm)].map(([, file = '']) => file)
  assert.ok(rows.length >= 20, `${rows.length} questions`)
  assert.equal(new Set(rows).size, rows.length)
  for (const file of rows) assert.ok(existsSync(join(root, file)), file)
})

test('every file, folder and script that the page names is there', () => {
  const names = [...page.matchAll(/`([^`\s]+)`/g)].map(([, name = '']) => name)
  const files = names.filter((name) => /\.(ts|mjs|md)$/.test(name) || name.endsWith('/'))
  const everywhere = new Set(
    globSync('{src,test,tools,docs}/**/*', { cwd: root }).map((f) => basename(f)),
  )
  for (const file of files.filter((name) => !name.includes('NAME') && name !== 'dist/')) {
    const isThere = file.includes('/') ? existsSync(join(root, file)) : everywhere.has(file)
    assert.ok(isThere || existsSync(join(root, 'src', file.replace('../', ''))), file)
  }
  for (const [, name = ''] of page.matchAll(/npm run ([a-z:-]+)/g)) {
    assert.ok(name in scripts, `npm run ${name}`)
  }
})

test('what is generated, and so left out by the linter, is named', () => {
  const { files } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
  const generated = [...files.includes.join('\n').matchAll(/^!(src\/.*)$/gm)].map(
    ([, file]) => file,
  )
  assert.equal(generated.length, 4)
  for (const file of generated) assert.ok(page.includes(`\`${file}\``), file)
})
