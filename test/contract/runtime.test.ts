/** Which Node this package runs on, in the three places that say so. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import test from 'node:test'
import { refusalOf } from '../../src/contract/runtime.ts'
import { temporaryFolder } from '../support.ts'

const root = join(import.meta.dirname, '..', '..')
const ACCEPTED = ['24.21.0', '24.100.3', '26.6.0', '26.10.0', '30.1.0']
const REFUSED = [
  '18.19.0',
  '20.20.2',
  '22.20.0',
  '24.0.0',
  '24.12.0',
  '24.20.0',
  '25.9.0',
  '26.0.0',
  '26.5.1',
]

test('an older Node is refused in one line that names it and the one that is needed', () => {
  for (const node of REFUSED) {
    const refusal = refusalOf({ node })
    assert.match(
      refusal ?? '',
      /^agent-store needs Node 24\.21 or a later 24, .* this is Node [\d.]+$/,
    )
    assert.ok(refusal?.endsWith(node))
  }
  for (const node of ACCEPTED) assert.equal(refusalOf({ node }), undefined, node)
})

test('Bun and Deno have an SQLite of their own, and are not asked for a Node', () => {
  assert.equal(refusalOf({ node: '22.0.0', bun: '1.4.5' }), undefined)
  assert.equal(refusalOf({ node: '22.0.0', deno: '2.9.6' }), undefined)
})

test('engines and the setup of a clone accept and refuse the same versions', (t) => {
  const folder = temporaryFolder(t)
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  mkdirSync(join(folder, 'node_modules'))
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  for (const name of ['package-lock.json', join('node_modules', '.package-lock.json')]) {
    writeFileSync(join(folder, name), '{}')
  }
  symlinkSync(process.execPath, join(bin, 'real-node'))
  const setup = join(root, 'scripts', 'setup.mjs')
  for (const version of [...ACCEPTED, ...REFUSED]) {
    writeFileSync(join(bin, 'node'), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 })
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }
    const options = { cwd: folder, env, encoding: 'utf8' } as const
    const { status, stderr } = spawnSync(process.execPath, [setup], options)
    assert.equal(status, ACCEPTED.includes(version) ? 0 : 1, `${version}: ${stderr}`)
    if (status === 1) assert.match(stderr, /^agent-store needs Node .*; this shell has [\d.]+\.\n$/)
  }
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.equal(engines.node, '^24.21.0 || >=26.6.0')
})

test('every door refuses before it does anything else', () => {
  for (const door of ['index.ts', 'backend/index.ts', 'shared/index.ts']) {
    const text = readFileSync(join(root, 'src', door), 'utf8')
    assert.match(text, /\*\/\nimport '\.{1,2}\/contract\/runtime\.ts'\n/, door)
  }
})
