/** The store on a file does what the model does. `MODEL_RUNS` sets how many histories are tried. */
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SqliteBackend } from 'agent-store'
import { checkHistories } from './histories.ts'
import { temporaryFolder } from './support.ts'

const RUNS = Number(process.env.MODEL_RUNS ?? 100)

test(`the store does what the model does, in ${RUNS} random histories`, (t) => {
  const folder = temporaryFolder(t)
  let files = 0
  checkHistories(RUNS, () => {
    const path = join(folder, `${files++}.db`)
    return {
      open: () => SqliteBackend.open(path, { durability: 'normal' }),
      remove: () => fs.rmSync(path, { force: true }),
    }
  })
})
