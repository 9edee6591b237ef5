/** `agent-store tail`, run as a user runs it: in a process that others write past. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { entryFromJson, Generation, SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from '../postgres/database.ts'
import { withoutDatabase } from '../postgres/server.ts'
import { temporaryFile } from '../support.ts'
import { startCommand } from './command-line.ts'

const startTail = (t: TestContext, args: readonly string[]) => startCommand(t, ['tail', ...args])

function newStore(t: TestContext): { file: string; db: SqliteBackend } {
  const file = temporaryFile(t)
  const db = SqliteBackend.open(file)
  t.after(() => db.close())
  WriterLog.ensureSchema(db)
  return { file, db }
}

test('the last entries of each writer, then what is committed, until it is interrupted', async (t) => {
  const { file, db } = newStore(t)
  WriterLog.appendMany(
    db,
    'conv:1',
    'alice',
    Array.from({ length: 12 }, (_, i) => `turn ${i + 1}`),
  )
  WriterLog.append(db, 'conv:2', 'bob', 'hello')
  const tail = startTail(t, [file, '-n', '2'])
  const [first = '', second, third] = await tail.lines(3)
  assert.match(first, /^conv:1 {2}alice {2}11 {2}[0-9a-f]{12} {2}turn 11$/)
  assert.match(second ?? '', /alice {2}12 .* turn 12$/)
  assert.match(third ?? '', /^conv:2 {2}bob {2}1 .* hello$/)
  WriterLog.append(db, 'conv:3', 'carol', 'a line\nand a \u001b[31mtrick')
  const all = await tail.lines(4)
  assert.match(all[3] ?? '', /^conv:3 {2}carol {2}1 .* a line⏎and a \\u001b\[31mtrick$/)
  tail.child.kill('SIGINT')
  await tail.ended
  assert.equal(tail.complaints(), '')
})

test('of a stream and a writer, from the first entry, as JSON, and no more than asked for', async (t) => {
  const { file, db } = newStore(t)
  WriterLog.appendMany(db, 's', 'a', ['one', 'two'])
  WriterLog.append(db, 's', 'b', 'other')
  const tail = startTail(t, [file, 's', 'a', '--all', '--json', '--count', '3', '--verify'])
  await tail.lines(2)
  WriterLog.append(db, 's', 'b', 'other')
  WriterLog.append(db, 's', 'a', 'three')
  assert.equal((await tail.ended).code, 0)
  const entries = (await tail.lines(3)).map((line) => entryFromJson(JSON.parse(line)))
  assert.deepEqual(entries, WriterLog.entries(db, 's', 'a'))
})

test('an edit that it comes to ends it with the entry named; a reader that leaves, quietly', async (t) => {
  const { file, db } = newStore(t)
  WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
  const quiet = startTail(t, [file])
  await quiet.lines(3)
  quiet.child.stdout?.destroy()
  WriterLog.append(db, 's', 'a', 'four')
  assert.equal((await quiet.ended).code, 0)
  db.exec("UPDATE _agent_store_log SET payload = x'00' WHERE seq = 2")
  const tail = startTail(t, [file, '--all', '--verify'])
  assert.equal((await tail.ended).code, 1)
  assert.match(tail.complaints(), /chain broken on stream "s" writer "a" at seq 2/)
})

test('of one stream a line needs only the writer, and begins where it is asked to', async (t) => {
  const { file, db } = newStore(t)
  WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
  const last = startTail(t, [file, 's', '-n', '1', '--count', '1'])
  assert.match((await last.ended).said, /^a {2}3 {2}[0-9a-f]{12} {2}three\n$/)
  const none = await startTail(t, [file, '-n', '0', '--count', '0']).ended
  assert.deepEqual(none, { code: 0, said: '', complaints: '' })
})

test('what cannot be is refused with the way out', async (t) => {
  const { file } = newStore(t)
  const counters = temporaryFile(t)
  using db = SqliteBackend.open(counters)
  Generation.ensureSchema(db)
  for (const [args, status, pattern] of [
    [[file, '--all', '-n', '3'], 2, /--all and --lines exclude each other/],
    [[file, '--poll', '0'], 2, /--poll must be from 1/],
    [[file, '--count', 'x'], 2, /--count must be a whole number, got "x"/],
    [[`${file}.missing`], 3, /cannot open/],
    [[counters], 3, /the store has no log yet; append to it first \[STORE_SCHEMA\]/],
  ] as const) {
    const tail = startTail(t, args)
    assert.equal((await tail.ended).code, status)
    assert.match(tail.complaints(), pattern)
  }
})

test('on a server, through a lost connection', { skip: withoutDatabase() }, async (t) => {
  const place = emptyPlace(t)
  const db = PgBackend.connect({ ...place, notify: true })
  t.after(() => db.close())
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'a', 'one')
  const url = new URL(String(place.url))
  url.searchParams.set('options', `-csearch_path=${place.searchPath}`)
  url.searchParams.set('application_name', 'tailing')
  const tail = startTail(t, [url.href, 's', '--poll', '100'])
  await tail.lines(1)
  const ended =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailing'"
  assert.equal(db.query(ended).length, 1)
  WriterLog.append(db, 's', 'a', 'two')
  const [, second] = await tail.lines(2)
  assert.match(second ?? '', /a {2}2 .* two$/)
  assert.equal(tail.complaints(), '')
})
