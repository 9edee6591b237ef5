/**
 * A counter carried over, runs, one of which dies, pruned reports, and a move to another file.
 *
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteBackend } from 'agent-store'
import { RoutineBoard } from './routine-board.ts'

const folder = mkdtempSync(join(tmpdir(), 'routine-board-'))

/** What an older version of the application has left. */
function leaveOldCounter(path: string): void {
  using db = SqliteBackend.open(path)
  db.exec('CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT)')
  db.exec("INSERT INTO settings VALUES ('report_counter', '41')")
}

try {
  const path = join(folder, 'board.db')
  leaveOldCounter(path)
  using board = new RoutineBoard(path)
  console.log(`carried over: the counter stands at ${board.generation}`)

  const first = board.startRun()
  first.add('backup', 'Check last night’s backup')
  first.add('mail', 'Sort the mail')
  first.report('Two things to do.')
  console.log(`run ${first.generation} added two tasks`)

  const lost = board.startRun()
  console.log(`run ${lost.generation} died before it reported`)

  const second = board.startRun()
  second.finish('mail')
  second.report('The mail is sorted.')
  console.log(`run ${second.generation} finished one of them`)
  for (const { id, createdGen, doneGen } of board.exportJson().tasks) {
    console.log(`  ${id}: created by run ${createdGen}, ${doneGen ? `done by ${doneGen}` : 'open'}`)
  }

  for (let i = 0; i < 20; i++) board.startRun().report('Nothing to do.')
  const gens = board.exportJson().reports.map(({ gen }) => gen)
  console.log(`after 20 more runs, ${gens.length} reports: ${gens.at(0)} to ${gens.at(-1)}`)

  using copy = new RoutineBoard(join(folder, 'copy.db'))
  const json = JSON.stringify(board.exportJson())
  copy.importJson(JSON.parse(json))
  copy.importJson(JSON.parse(json))
  const same = JSON.stringify(copy.exportJson()) === json
  console.log(`imported twice: ${same ? 'the same board' : 'another board'}`)
  console.log(`the next run there is ${copy.startRun().generation}`)
} finally {
  rmSync(folder, { recursive: true })
}
