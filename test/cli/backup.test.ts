/** A backup beside writers, and a restore that writes over nothing and says what it checked. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { BackendError, SqliteBackend, WriterLog } from 'agent-store'
import { startWorker } from '../processes/start.ts'
import { temporaryFolder } from '../support.ts'
import { MAIN } from './command-line.ts'

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' })
}

function storeIn(folder: string): string {
  const file = join(folder, 'fleet.db')
  using db = SqliteBackend.open(file)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(db, 's', 'a', ['1', '2', '3'])
  WriterLog.append(db, 't', 'b', '1')
  return file
}

test('a backup is verified, has its heads beside it, and is restored', (t) => {
  const folder = temporaryFolder(t)
  const [copy, store] = [join(folder, 'copy.db'), join(folder, 'new.db')]
  const made = run('backup', storeIn(folder), copy)
  assert.equal(made.stdout, 'ok: 2 logs, 4 entries verified in the copy\n', made.stderr)
  const heads = fs.readFileSync(`${copy}.heads.json`, 'utf8').trim().split('\n')
  assert.deepEqual(
    heads.map((line) => JSON.parse(line).seq),
    ['3', '1'],
  )
  assert.equal((fs.statSync(copy).mode & 0o777).toString(8), '600')
  const restored = run('restore', copy, store)
  assert.equal(restored.stdout, 'ok: 2 logs, 4 entries verified, and compared with 2 heads\n')
  using db = SqliteBackend.open(store)
  assert.equal(WriterLog.append(db, 's', 'a', '4').seq, 4n)
})

test('a backup beside writers holds what was acknowledged before it began', async (t) => {
  const folder = temporaryFolder(t)
  const file = storeIn(folder)
  const store = { file }
  const workers = ['x', 'y'].map((writer) =>
    startWorker({ kind: 'append', store, writer, label: writer, count: 300, pauseMs: 1 }),
  )
  await Promise.all(workers.map((worker) => worker.lines(1)))
  for (const worker of workers) worker.go()
  using db = SqliteBackend.open(file)
  for (let i = 0; i < 5; i++) {
    const before = WriterLog.append(db, 's', 'a', 'mine')
    const path = join(folder, `copy-${i}.db`)
    db.backup(path, (copy) => WriterLog.verifyAll(copy))
    using copy = SqliteBackend.open(path, { readOnly: true })
    assert.deepEqual(WriterLog.entry(copy, 's', 'a', before.seq)?.contentHash, before.contentHash)
    assert.equal(WriterLog.append(db, 's', 'a', 'after').seq, before.seq + 1n)
  }
  for (const { failure } of await Promise.all(workers.map((worker) => worker.end))) {
    assert.equal(failure, undefined)
  }
  const left = fs.readdirSync(folder).filter((name) => /\.\d+-/.test(name))
  assert.deepEqual(left, [], 'nothing is left behind')
})

test('nothing is written over, by either', (t) => {
  const folder = temporaryFolder(t)
  const file = storeIn(folder)
  const copy = join(folder, 'copy.db')
  assert.equal(run('backup', file, copy).status, 0)
  const bytes = fs.readFileSync(copy)
  for (const args of [
    ['backup', file, copy],
    ['backup', file, file],
    ['restore', copy, file],
    ['restore', copy, copy],
  ]) {
    const { status, stderr } = run(...args)
    assert.ok(status === 2 || status === 3, stderr)
    assert.match(stderr, /is there already/)
  }
  fs.writeFileSync(join(folder, 'other.db-wal'), 'x')
  assert.match(run('restore', copy, join(folder, 'other.db')).stderr, /other\.db-wal" is there/)
  assert.deepEqual(fs.readFileSync(copy), bytes)
  using db = SqliteBackend.open(file)
  assert.throws(() => db.backup(copy), BackendError)
  assert.throws(() => db.transaction(() => db.backup(`${copy}2`)), TypeError)
  assert.ok(!fs.existsSync(`${copy}2`))
})

test('a copy that its check refuses is not kept', (t) => {
  const folder = temporaryFolder(t)
  using db = SqliteBackend.open(storeIn(folder))
  const refuse = () => {
    throw new Error('not good enough')
  }
  assert.throws(() => db.backup(join(folder, 'copy.db'), refuse), /not good enough/)
  assert.deepEqual(
    fs.readdirSync(folder).filter((name) => name.startsWith('copy')),
    [],
  )
})

test('an edited backup, and one that lacks what its heads name, are refused', (t) => {
  const folder = temporaryFolder(t)
  const file = storeIn(folder)
  const [copy, store] = [join(folder, 'copy.db'), join(folder, 'new.db')]
  assert.equal(run('backup', file, copy).status, 0)
  const edit = (sql: string) => {
    using db = SqliteBackend.open(copy)
    db.exec(sql)
    db.query('PRAGMA journal_mode = DELETE')
  }
  edit("DELETE FROM _agent_store_log WHERE stream = 't'")
  const cut = run('restore', copy, store)
  assert.equal(cut.status, 1)
  assert.match(cut.stderr, /no entry at stream "t" writer "b" seq 1, which its heads name/)
  edit("UPDATE _agent_store_log SET payload = x'00' WHERE seq = 2")
  const edited = run('restore', copy, store)
  assert.equal(edited.status, 1)
  assert.match(edited.stderr, /chain broken on stream "s" writer "a" at seq 2/)
  fs.truncateSync(copy, 5_000)
  assert.notEqual(run('restore', copy, store).status, 0)
  assert.ok(!fs.existsSync(store))
  assert.match(run('restore', copy, store, '--heads', join(folder, 'none')).stderr, /ENOENT/)
})
