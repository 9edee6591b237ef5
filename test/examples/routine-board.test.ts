/**
 * What the routine board promises: a generation a run, never shared and never reused, 16
 * reports, an old counter carried over once, and imports that can be repeated.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { SqliteBackend } from 'agent-store'
import { RoutineBoard } from '../../examples/routine-board/routine-board.ts'
import { startScript } from '../processes/start.ts'
import { temporaryFile } from '../support.ts'

const RUNNER = fileURLToPath(new URL('./board-runner.ts', import.meta.url))
const MAIN = fileURLToPath(new URL('../../examples/routine-board/main.ts', import.meta.url))

/** What an older version of the application has left. */
function leaveOldCounter(file: string, value: string): void {
  using db = SqliteBackend.open(file)
  db.exec('CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT)')
  db.exec('INSERT INTO settings VALUES (?, ?)', ['report_counter', value])
  db.exec("INSERT OR IGNORE INTO settings VALUES ('theme', 'dark')")
}

test('a run bumps the generation when it starts, and stamps what it writes', (t) => {
  using board = new RoutineBoard(temporaryFile(t))
  const first = board.startRun()
  assert.equal(first.generation, 1n)
  assert.equal(first.add('mail', 'Sort the mail'), true)
  const second = board.startRun()
  assert.equal(second.add('mail', 'Again'), false)
  assert.equal(second.add('backup', 'Check the backup'), true)
  assert.equal(second.finish('mail'), true)
  assert.equal(board.startRun().finish('mail'), false)
  assert.equal(board.startRun().finish('no such task'), false)
  assert.deepEqual(
    board.db.query('SELECT id, title, created_gen, done_gen FROM task ORDER BY id'),
    [
      ['backup', 'Check the backup', 2n, null],
      ['mail', 'Sort the mail', 1n, 2n],
    ],
  )
  assert.equal(board.generation, 4n)
})

test('the last 16 reports are kept, also when the board is opened again', (t) => {
  const file = temporaryFile(t)
  {
    using board = new RoutineBoard(file)
    for (let i = 0; i < 20; i++) board.startRun().report(`report ${i}`)
  }
  using board = new RoutineBoard(file)
  const gens = board.exportJson().reports.map(({ gen }) => Number(gen))
  assert.deepEqual(
    gens,
    Array.from({ length: 16 }, (_, i) => i + 5),
  )
  assert.equal(board.startRun().generation, 21n)
})

test('processes never share a generation, and a crash never reuses one', async (t) => {
  const file = temporaryFile(t)
  const given: bigint[] = []
  for (let round = 0; round < 3; round++) {
    const runners = Array.from({ length: 4 }, () => startScript(RUNNER, file, '1000000'))
    await Promise.all(runners.map((runner) => runner.lines(1)))
    for (const runner of runners) runner.go()
    await Promise.all(runners.map((runner) => runner.lines(20)))
    for (const runner of runners) runner.kill()
    for (const { lines, failure } of await Promise.all(runners.map(({ end }) => end))) {
      assert.match(String(failure), /^ended with SIGKILL: $/)
      given.push(...lines.slice(1).map(BigInt))
    }
  }
  assert.ok(given.length >= 3 * 4 * 19)
  assert.equal(new Set(given).size, given.length)
  using board = new RoutineBoard(file)
  const largest = given.reduce((a, b) => (a > b ? a : b))
  assert.ok(board.generation >= largest)
  assert.equal(board.startRun().generation > largest, true)
  assert.equal(board.exportJson().reports.length, 16)
})

test('a counter kept as text is carried over once', (t) => {
  const file = temporaryFile(t)
  leaveOldCounter(file, '41')
  for (const expected of [42n, 43n]) {
    using board = new RoutineBoard(file)
    assert.equal(board.startRun().generation, expected)
    assert.deepEqual(board.db.query('SELECT * FROM settings'), [['theme', 'dark']])
  }
  // An old version that ran in between cannot move it back.
  leaveOldCounter(file, '2')
  using board = new RoutineBoard(file)
  assert.equal(board.startRun().generation, 44n)
})

test('a counter that is no number is left as it was found', (t) => {
  for (const value of ['forty-one', '-1x', '9223372036854775808']) {
    const file = temporaryFile(t)
    leaveOldCounter(file, value)
    assert.throws(() => new RoutineBoard(file), /forty-one|-1x|9223372036854775808/)
    using db = SqliteBackend.open(file)
    const kept = db.query("SELECT value FROM settings WHERE key = 'report_counter'")
    assert.deepEqual(kept, [[value]])
  }
})

test('export and import are idempotent and restore the counter', (t) => {
  using board = new RoutineBoard(temporaryFile(t))
  const run = board.startRun()
  run.add('mail', 'Sort the mail')
  run.add('backup', 'Check the backup')
  for (let i = 0; i < 20; i++) board.startRun().report(`report ${i}`)
  const before = JSON.stringify(board.exportJson())
  board.startRun().finish('mail')
  const after = JSON.stringify(board.exportJson())
  assert.equal(JSON.stringify(board.exportJson()), after)

  using copy = new RoutineBoard(temporaryFile(t))
  // The older export again, last: it brings nothing back.
  for (const json of [after, after, before]) {
    copy.importJson(JSON.parse(json))
    assert.equal(JSON.stringify(copy.exportJson()), after)
  }
  assert.equal(copy.startRun().generation, 23n)
  // Nor does it on a board that has moved on.
  copy.importJson(JSON.parse(after))
  assert.equal(copy.generation, 23n)

  using behind = new RoutineBoard(temporaryFile(t))
  for (const json of [before, after]) behind.importJson(JSON.parse(json))
  assert.equal(JSON.stringify(behind.exportJson()), after)
})

test('an import that fails leaves the board as it was', (t) => {
  using board = new RoutineBoard(temporaryFile(t))
  board.startRun().add('mail', 'Sort the mail')
  const before = board.exportJson()
  const broken = {
    report: '9',
    tasks: [{ id: 'new', title: 'New', createdGen: '3', doneGen: null }],
    reports: [{ gen: 'three', text: '' }],
  }
  assert.throws(() => board.importJson(broken), SyntaxError)
  assert.deepEqual(board.exportJson(), before)
})

test('the demonstration runs', () => {
  const args = ['-C', '@agent-store/source', MAIN]
  const said = execFileSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(said, /carried over: the counter stands at 41/)
  assert.match(said, /after 20 more runs, 16 reports: 49 to 64/)
  assert.match(said, /imported twice: the same board\nthe next run there is 65/)
})
