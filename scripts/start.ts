/**
 * `npm start`: the demo. With `--postgres` it runs on a throwaway server, where one is found.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { startServer, withoutServer } from '../test/postgres/server.ts'

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const args = process.argv.slice(2)
const demo = (...more: string[]): void => {
  const { status } = spawnSync(process.execPath, [main, 'demo', ...more], { stdio: 'inherit' })
  process.exitCode = status ?? 1
}

if (args.includes('--help')) {
  console.log('npm start [-- --postgres] [-- options]\n\n  --postgres  on a throwaway server\n')
  demo('--help')
} else if (!args.includes('--postgres')) demo(...args)
else {
  const missing = withoutServer()
  if (missing) {
    console.error(
      `no PostgreSQL server to run on: ${missing}\n` +
        'Name one of your own: npm run agent-store -- demo --on postgres://user@host/database',
    )
    process.exitCode = 3
  } else {
    using server = startServer()
    console.log(`on PostgreSQL ${server.installation.version}, started for this demo alone\n`)
    demo(...args.filter((arg) => arg !== '--postgres'), '--on', server.url(), '--brief')
    console.log(
      '\nOn a server of your own: npm run agent-store -- demo --on postgres://user@host/database',
    )
  }
}
