/** The house rules that a compiler does not keep: who may import whom, and no clock. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const src = join(import.meta.dirname, '..', 'src')
const modules = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) =>
  f.endsWith('.ts'),
)

function importsOf(module: string): string[] {
  const text = readFileSync(join(src, module), 'utf8')
  return [...text.matchAll(/^(?:import|export)[^'"]*from '([^']+)'/gms)].map(
    ([, target = '']) => target,
  )
}

const room = (module: string) =>
  module.includes('/') ? module.slice(0, module.indexOf('/')) : 'core'

test('every module loads', async () => {
  for (const module of modules) {
    if (/^cli\/(main|demo-agent|demo-echo)/.test(module)) continue
    assert.ok(await import(join(src, module)), module)
  }
})

test('every module says what it is for', () => {
  for (const module of modules) {
    assert.match(
      readFileSync(join(src, module), 'utf8'),
      /^(#!.*\n)?\/\*\*|^\/\/ Generated/,
      module,
    )
  }
})

test('the core sees no extension, and an extension sees the core only as its users do', () => {
  for (const module of modules) {
    for (const target of importsOf(module).filter((name) => name.startsWith('.'))) {
      const imported = normalize(join(dirname(module), target))
      if (room(module) === room(imported) || room(module) === 'cli') continue
      assert.equal(room(imported), 'core', `${module} imports ${imported}`)
      assert.equal(imported, 'index.ts', `${module} must import the core through index.ts`)
    }
  }
})

test('the package depends on nothing at run time, and the core on few parts of Node', () => {
  const manifest = JSON.parse(readFileSync(join(src, '..', 'package.json'), 'utf8'))
  assert.equal(manifest.dependencies, undefined)
  const allowed = ['node:sqlite', 'node:fs', 'node:path', 'node:url']
  for (const module of modules.filter((name) => room(name) === 'core')) {
    for (const target of importsOf(module).filter((name) => !name.startsWith('.'))) {
      assert.ok(allowed.includes(target), `${module} imports ${target}`)
    }
  }
})

test('nothing in the core waits for a promise or looks at a wall clock', () => {
  for (const module of modules.filter(
    (name) => room(name) === 'core' || room(name) === 'testing',
  )) {
    const code = readFileSync(join(src, module), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    assert.doesNotMatch(
      code,
      /\bawait\b|\bDate\.now|setTimeout|setInterval|node:(net|http|dgram|tls)/,
      module,
    )
    // The one deadline: how long to wait for a lock. It orders nothing.
    if (module !== 'sqlite-wait.ts') assert.doesNotMatch(code, /performance\./, module)
  }
})
