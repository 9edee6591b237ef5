// Packs the package, installs it into an empty project, and runs the README's tour there:
// by import, by require, and on the command line; runs the examples, and loads every other part.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'agent-store-package-'))
const run = (command, args) =>
  execFileSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })

try {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { stdio: 'ignore' })
  const [packed] = readdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true }\n')
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', `./${packed}`])

  const tour = /```ts\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'))?.[1]
  if (tour === undefined) throw new Error('README.md has no tour')
  writeFileSync(join(folder, 'tour.mts'), tour)
  run(process.execPath, ['tour.mts'])
  rmSync(join(folder, 'fleet.db'), { force: true })

  const required = tour.replace(/import (\{[^}]*\}) from ('[^']*')/g, 'const $1 = require($2)')
  if (required === tour) throw new Error('the tour imports nothing')
  writeFileSync(join(folder, 'tour.cts'), required)
  run(process.execPath, ['tour.cts'])

  // The examples run as the READMEs that are packed beside them say.
  for (const example of readdirSync('examples')) {
    const packedReadme = join(folder, 'node_modules/agent-store/examples', example, 'README.md')
    const blocks = [...readFileSync(packedReadme, 'utf8').matchAll(/```sh\n([\s\S]*?)```/g)]
    const commands = blocks.map(([, block]) => block).find((block) => block.startsWith('cp '))
    if (commands === undefined) throw new Error(`${example}: the README does not say how to run it`)
    run('sh', ['-euc', commands])
  }

  // Every part loads where no optional peer is installed, and says so when it needs one.
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
  const parts = Object.keys(exports).filter((name) => !name.endsWith('.json'))
  const names = JSON.stringify(parts.map((name) => name.replace('.', 'agent-store')))
  writeFileSync(
    join(folder, 'parts.mts'),
    `import { createRequire } from 'node:module'
    const require = createRequire(import.meta.url)
    for (const name of ${names}) {
      if (Object.keys(await import(name)).length === 0) throw new Error(name + ' exports nothing')
      if (Object.keys(require(name)).length === 0) throw new Error(name + ' exports nothing')
    }
    const { Agent, IrohTransport, KeyPair } = require('agent-store/mesh')
    const { key } = Agent.issue(KeyPair.generate(), { role: 'nobody' })
    const refusal = await IrohTransport.bind(key).catch((error) => error)
    if (!/install it/.test(refusal.message)) throw refusal
    console.log('loaded')`,
  )
  if (run(process.execPath, ['parts.mts']) !== 'loaded\n') throw new Error('a part does not load')

  const cli = join('node_modules', '.bin', 'agent-store')
  const shown = run(cli, ['verify', 'fleet.db'])
  if (!shown.startsWith('ok:')) throw new Error(`agent-store verify says ${shown}`)
  const demo = run(cli, ['demo'])
  if (!demo.includes('0 lost') || !demo.includes('caught:')) throw new Error(demo)
  console.log(`${packed}: tour by import and by require, command line, demo: ok`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
