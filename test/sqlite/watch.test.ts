/** A write of any process to an SQLite file is heard, through all that happens to its files. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  BackendError,
  FileReplacedError,
  SqliteBackend,
  type StoreError,
  WriterLog,
} from 'agent-store'
import { follow } from 'agent-store/follow'
import { systemWatches, temporaryFile, withoutCount } from '../support.ts'

/** A store, somebody who watches it, and another connection that writes. */
function watched(t: TestContext) {
  const file = temporaryFile(t)
  const db = SqliteBackend.open(file)
  const other = SqliteBackend.open(file, { durability: 'normal' })
  t.after(() => [db, other].map((open) => open.close()))
  other.exec('CREATE TABLE x (y INTEGER)')
  let rings = 0
  const lost: StoreError[] = []
  const off = db.watch(
    () => rings++,
    (reason) => lost.push(reason),
  )
  assert.ok(off !== undefined)
  t.after(off)
  return {
    file,
    db,
    other,
    lost,
    off,
    /** Whether `work` is heard. */
    async hears(work: () => void): Promise<boolean> {
      await sleep(30)
      const before = rings
      work()
      for (let i = 0; i < 40 && rings === before && lost.length === 0; i++) await sleep(5)
      return rings > before
    },
  }
}

const write = (db: SqliteBackend) => () => void db.exec('INSERT INTO x VALUES (1)')

test('a commit of another connection is heard, and of this one', async (t) => {
  const { db, other, hears } = watched(t)
  for (let i = 0; i < 5; i++) assert.ok(await hears(write(other)))
  assert.ok(await hears(write(db)))
})

test('through checkpoints, a WAL that begins anew, and a vacuum', async (t) => {
  const { file, other, hears } = watched(t)
  for (const mode of ['PASSIVE', 'RESTART', 'TRUNCATE']) {
    other.query(`PRAGMA wal_checkpoint(${mode})`)
    assert.ok(await hears(write(other)), mode)
  }
  other.exec('VACUUM')
  assert.ok(await hears(write(other)))
  assert.equal(fs.existsSync(`${file}-wal`), true)
})

test('through a -wal that is removed with the last connection, and made again', async (t) => {
  const file = temporaryFile(t)
  using writer = SqliteBackend.open(file)
  writer.exec('CREATE TABLE x (y INTEGER)')
  using watching = SqliteBackend.open(file)
  let rings = 0
  const off = watching.watch(
    () => rings++,
    (reason) => assert.fail(reason),
  )
  t.after(() => off?.())
  watching.close()
  writer.close()
  assert.equal(fs.existsSync(`${file}-wal`), false)
  await sleep(30)
  const before = rings
  using again = SqliteBackend.open(file)
  again.exec('INSERT INTO x VALUES (1)')
  await sleep(50)
  assert.ok(rings > before)
})

test('where the journal is rolled back in place of a WAL', async (t) => {
  const { file, hears, db, other } = watched(t)
  db.close()
  other.close()
  using plain = new DatabaseSync(file)
  plain.exec('PRAGMA journal_mode = DELETE')
  assert.ok(await hears(() => plain.exec('INSERT INTO x VALUES (1)')))
})

test('what is written beside it is not heard', async (t) => {
  const { file, hears } = watched(t)
  const beside = join(dirname(file), 'store.db.notes')
  assert.equal(await hears(() => fs.writeFileSync(beside, 'x')), false)
})

test('a file that is replaced or deleted is lost, and says so once', async (t) => {
  for (const lose of [
    (file: string) => {
      fs.copyFileSync(file, `${file}.copy`)
      fs.renameSync(`${file}.copy`, file)
    },
    (file: string) => fs.unlinkSync(file),
    (file: string) => fs.rmSync(dirname(file), { recursive: true }),
  ]) {
    const { file, lost, hears } = watched(t)
    await hears(() => lose(file))
    for (let tries = 0; lost.length === 0 && tries < 200; tries++) await sleep(10)
    await sleep(20) // And not a second time.
    assert.equal(lost.length, 1, String(lose))
    assert.ok(lost[0] instanceof FileReplacedError)
    assert.equal(lost[0].path, file)
  }
})

test('a watcher that the system takes away is said once, and can be had again', async (t) => {
  const { watch } = fs
  const watchers: fs.FSWatcher[] = []
  const kept = ((folder: string, options: { persistent: boolean }) => {
    const watcher = watch(folder, options)
    watchers.push(watcher)
    return watcher
  }) as typeof fs.watch
  t.after(() => Object.assign(fs, { watch }))
  Object.assign(fs, { watch: kept })
  const { file, other, lost, hears } = watched(t)
  assert.ok(await hears(write(other)))
  watchers.at(-1)?.emit('error', new Error('the system has no more watches'))
  assert.equal(lost.length, 1)
  assert.ok(lost[0] instanceof BackendError)
  assert.match(lost[0].message, /the system has no more watches; commits of others are found by/)
  assert.equal(await hears(write(other)), false)

  using following = SqliteBackend.open(file)
  WriterLog.ensureSchema(following)
  const entries = follow(following, { pollMs: 50 })
  t.after(() => entries.return())
  for (let i = 1; i <= 3; i++) {
    const waiting = entries.next()
    await sleep(5)
    watchers.at(-1)?.emit('error', new Error('gone again'))
    WriterLog.append(other, 's', 'a', `${i}`)
    assert.equal((await waiting).value?.seq, BigInt(i))
  }
  // One for the first watch, one for the following, and at least one of those that came after.
  assert.ok(watchers.length >= 3, `${watchers.length} watchers`)
})

test('all of one directory share a watcher, which ends with the last of them', {
  skip: withoutCount,
}, async (t) => {
  await sleep(10)
  const before = systemWatches()
  const { file, db, other, off, hears } = watched(t)
  const more = Array.from({ length: 5 }, () =>
    other.watch(
      () => undefined,
      () => undefined,
    ),
  )
  using beside = SqliteBackend.open(join(dirname(file), 'beside.db'))
  more.push(
    beside.watch(
      () => undefined,
      () => undefined,
    ),
  )
  assert.equal(systemWatches() - before, 1)
  for (const end of more) end?.()
  assert.ok(await hears(write(db)))
  off()
  off()
  await sleep(10)
  assert.equal(systemWatches() - before, 0)
  assert.equal(await hears(write(db)), false)
})

test('no file, no watch; a directory that is gone cannot be watched', async (t) => {
  using memory = SqliteBackend.inMemory()
  const nothing = () => undefined
  assert.equal(memory.watch(nothing, nothing), undefined)
  const file = temporaryFile(t)
  using db = SqliteBackend.open(file)
  fs.rmSync(dirname(file), { recursive: true })
  const refused = new Promise((lost, thrown) => {
    try {
      db.watch(nothing, lost) // Deno tells of it a moment later.
    } catch (error) {
      thrown(error)
    }
  })
  const reason = await refused.catch((error: unknown) => error)
  assert.ok(reason instanceof BackendError && /cannot watch/.test(reason.message))
})
