/** The house rules that a compiler does not keep: who may import whom, and no clock. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const src = join(import.meta.dirname, '..', 'src')
const modules = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) =>
  f.endsWith('.ts'),
)

function importsIn(text: string): string[] {
  const named = text.matchAll(/^(?:import|export)[^'"]*from '([^']+)'/gms)
  const bare = text.matchAll(/^import '([^']+)'/gm)
  return [...named, ...bare].map(([, target = '']) => target)
}

function importsOf(module: string): string[] {
  return importsIn(readFileSync(join(src, module), 'utf8'))
}

/** The rooms whose index is a door of the package, and which stand on top of the core. */
const ROOMS = ['follow', 'mesh', 'postgres', 'recall', 'testing', 'cli']
const CORE_ROOMS = ['contract', 'hash', 'shared', 'sqlite', 'primitives', 'log', 'backend']
/** Rooms that may see another room, through its door. */
const MAY_SEE: Readonly<Record<string, readonly string[]>> = { testing: ['mesh'] }

/** The room of a module below `src/`: one of {@link ROOMS}, or the core. */
function room(module: string): string {
  const [folder = ''] = module.split('/')
  return ROOMS.includes(folder) ? folder : 'core'
}

test('every folder of src/ is a room that is known here', () => {
  const folders = readdirSync(src, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  assert.deepEqual(new Set(folders), new Set([...ROOMS, ...CORE_ROOMS]))
})

test('every module loads', async () => {
  for (const module of modules) {
    if (/^cli\/(main|bin|demo\/(agent|echo))\.ts$/.test(module)) continue
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

test('the core sees no room, and a room sees the core only through two doors', () => {
  for (const module of modules) {
    for (const target of importsOf(module).filter((name) => name.startsWith('.'))) {
      const imported = normalize(join(dirname(module), target))
      const [from, to] = [room(module), room(imported)]
      if (from === to || from === 'cli') continue
      if (to !== 'core' && MAY_SEE[from]?.includes(to)) {
        assert.equal(imported, `${to}/index.ts`, `${module} must import ${to} through its door`)
        continue
      }
      assert.equal(to, 'core', `${module} imports ${imported}`)
      assert.equal(
        imported,
        'index.ts',
        `${module} must import the core through index.ts or #shared`,
      )
    }
  }
})

test('#shared is a door of this package alone, and only rooms on top of the core use it', () => {
  const manifest = JSON.parse(readFileSync(join(src, '..', 'package.json'), 'utf8'))
  assert.deepEqual(Object.keys(manifest.imports), ['#shared'])
  assert.ok(!Object.keys(manifest.exports).includes('./shared'))
  for (const module of modules) {
    for (const target of importsOf(module).filter((name) => name.startsWith('#'))) {
      assert.equal(target, '#shared', module)
      assert.notEqual(room(module), 'core', `${module} must import the file, not the door`)
    }
  }
})

test('each door has an export, and no other folder has an index', () => {
  const manifest = JSON.parse(readFileSync(join(src, '..', 'package.json'), 'utf8'))
  const doors = Object.values<{ '@agent-store/source'?: string }>(manifest.exports).flatMap(
    (target) => target['@agent-store/source']?.replace('./src/', '') ?? [],
  )
  const indexes = modules.filter((name) => /(^|\/)index\.ts$/.test(name))
  assert.deepEqual(new Set(indexes), new Set([...doors, 'shared/index.ts']))
})

test('nothing asks for one of two dialects: a third would be found by the compiler', () => {
  for (const module of modules) {
    const text = readFileSync(join(src, module), 'utf8')
    assert.doesNotMatch(
      text,
      /dialect\)? [!=]==? |[!=]==? \w*\.?dialect\b|switch \(\w*\.?dialect/,
      module,
    )
  }
})

test('no test that asks for the package by its name runs on what was built last', () => {
  const folder = import.meta.dirname
  const guard = join(folder, 'from-source.ts')
  /** The modules below test/ that `file` imports, with itself. */
  const reached = (file: string, seen = new Set<string>()): Set<string> => {
    if (seen.has(file)) return seen
    seen.add(file)
    for (const target of importsIn(readFileSync(file, 'utf8'))) {
      const next = join(dirname(file), target)
      if (target.startsWith('.') && next.startsWith(folder)) reached(next, seen)
    }
    return seen
  }
  const tests = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  for (const test of tests.filter((name) => name.endsWith('.test.ts'))) {
    const files = [...reached(join(folder, test))].filter((name) => name.endsWith('.ts'))
    const names = files.some((file) =>
      importsIn(readFileSync(file, 'utf8')).some((name) => /^agent-store\b/.test(name)),
    )
    assert.ok(!names || files.includes(guard), `${test} must import test/from-source.ts`)
  }
})

test('the text of the pump is what its program gives', async () => {
  const generator = new URL('../tools/pump/build.mjs', import.meta.url)
  const { source }: { source(): string } = await import(generator.href)
  assert.equal(readFileSync(join(src, 'postgres/pump/worker-code.ts'), 'utf8'), source())
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
  // The network in memory stands for one that is waited for.
  const synchronous = (name: string) =>
    ['core', 'testing'].includes(room(name)) && name !== 'testing/memory-network.ts'
  for (const module of modules.filter(synchronous)) {
    const code = readFileSync(join(src, module), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    assert.doesNotMatch(
      code,
      /\bawait\b|\bDate\.now|setTimeout|setInterval|node:(net|http|dgram|tls)/,
      module,
    )
    // How long to wait for a lock, and how often to ask the file system. They order nothing.
    const bounds = ['sqlite/lock-wait.ts', 'sqlite/file-guard.ts']
    if (!bounds.includes(module)) assert.doesNotMatch(code, /performance\./, module)
  }
})
