// Imports each door of the built package on the Node that runs this, and fails unless every one of
// them refuses it by its code. Plain JavaScript that an old Node reads; `npm run test:runtimes`.
import { readFileSync } from 'node:fs'

const { exports } = JSON.parse(readFileSync('package.json', 'utf8'))
for (const door of Object.keys(exports).filter((name) => !name.endsWith('.json'))) {
  const name = door.replace('.', 'agent-store')
  const error = await import(name).then(
    () => undefined,
    (reason) => reason,
  )
  console.log(`${name}: ${error === undefined ? 'not refused' : error.message}`)
  if (error?.code !== 'STORE_UNSUPPORTED_NODE') process.exitCode = 1
}
