/**
 * A process that starts run after run, and says each generation once it was given it.
 *
 * @module
 */
import { readSync, writeSync } from 'node:fs'
import { RoutineBoard } from '../../examples/routine-board/routine-board.ts'

const [, , path = '', runs = ''] = process.argv
const cell = new Int32Array(new SharedArrayBuffer(4))
using board = new RoutineBoard(path)
writeSync(1, 'ready\n')
readSync(0, new Uint8Array(1))
for (let i = 0; i < Number(runs); i++) {
  const run = board.startRun()
  writeSync(1, `${run.generation}\n`)
  run.report(`by ${process.pid}`)
  // The others want to write as well.
  Atomics.wait(cell, 0, 0, 2)
}
