/**
 * A file that is taken away while it is open: whatever happens to its names, nothing is
 * acknowledged that others will never see.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, type TestContext, test } from 'node:test'
import {
  type Durability,
  FileReplacedError,
  Generation,
  SqliteBackend,
  TwoLibrariesError,
  WriterLog,
} from 'agent-store'
import Database from 'better-sqlite3'
import { temporaryFile, unlessOn, warningCodes } from '../support.ts'

const skip = unlessOn('bun', 'its drivers are of another kind') || unlessOn('deno', 'the same')

/** What may happen to the files of a store. */
const TAKINGS: Readonly<Record<string, (file: string) => void>> = {
  'the database is deleted': (file) => fs.unlinkSync(file),
  'the database is renamed': (file) => fs.renameSync(file, `${file}.old`),
  'the database is replaced by a copy': (file) => {
    fs.copyFileSync(`${file}.backup`, `${file}.new`)
    fs.renameSync(`${file}.new`, file)
  },
  'the -wal alone is deleted': (file) => fs.unlinkSync(`${file}-wal`),
  'the -wal alone is renamed': (file) => fs.renameSync(`${file}-wal`, `${file}-wal.old`),
  'the -wal is replaced': (file) => {
    fs.writeFileSync(`${file}-new`, '')
    fs.renameSync(`${file}-new`, `${file}-wal`)
  },
  'the -shm alone is deleted': (file) => fs.unlinkSync(`${file}-shm`),
  'the -shm alone is renamed': (file) => fs.renameSync(`${file}-shm`, `${file}-shm.old`),
  'all three are deleted': (file) => {
    for (const suffix of ['', '-wal', '-shm']) fs.unlinkSync(`${file}${suffix}`)
  },
  'the folder is moved': (file) => fs.renameSync(dirname(file), `${dirname(file)}-moved`),
  'the folder is moved, and another one is made in its place': (file) => {
    fs.renameSync(dirname(file), `${dirname(file)}-moved`)
    fs.mkdirSync(dirname(file))
  },
  'another library of this process opens, reads and closes': (file) => {
    const other = new Database(file)
    other.prepare('SELECT count(*) FROM _agent_store_log').get()
    other.close()
  },
}

/** How the store may be open. */
const PLACES: Readonly<Record<string, (file: string, durability: Durability) => SqliteBackend>> = {
  open: (file, durability) => SqliteBackend.open(file, { durability }),
  fromConnection: (file, durability) => {
    const connection = new DatabaseSync(file)
    connection.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 1000')
    return SqliteBackend.fromConnection(connection, { durability })
  },
}

function opened(t: TestContext, place: string, durability: Durability) {
  const file = temporaryFile(t)
  t.after(() => fs.rmSync(`${dirname(file)}-moved`, { recursive: true, force: true }))
  const db = PLACES[place]?.(file, durability) ?? assert.fail()
  t.after(() => db.close())
  WriterLog.ensureSchema(db)
  Generation.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  fs.copyFileSync(file, `${file}.backup`)
  return { db, file }
}

/** The writes that acknowledge something. */
const WRITES: Readonly<Record<string, (db: SqliteBackend) => unknown>> = {
  append: (db) => WriterLog.append(db, 's', 'w', 'x'),
  'append to a new log': (db) => WriterLog.append(db, 's', 'new', 'x'),
  appendMany: (db) => WriterLog.appendMany(db, 's', 'w', ['x', 'y']),
  bump: (db) => new Generation('g').bump(db),
  set: (db) => new Generation('h').set(db, 7n),
  transaction: (db) => db.transaction(() => WriterLog.append(db, 's', 'w', 'x')),
  iterate: (db) => [...db.iterate("INSERT INTO _agent_store_meta VALUES ('i', 1) RETURNING key")],
  'a table': (db) => db.exec('CREATE TABLE made (a)'),
  exec: (db) => db.exec('CREATE TABLE IF NOT EXISTS t (a)') + db.exec('INSERT INTO t VALUES (1)'),
}

for (const place of Object.keys(PLACES)) {
  for (const [taking, take] of Object.entries(TAKINGS)) {
    suite(`${place}: ${taking}`, { skip }, () => {
      for (const [name, write] of Object.entries(WRITES)) {
        test(`${name} is not acknowledged, nor is anything after it`, (t) => {
          const { db, file } = opened(t, place, 'full')
          take(file)
          assert.throws(() => write(db), FileReplacedError)
          for (const next of Object.values(WRITES)) assert.throws(() => next(db), FileReplacedError)
          assert.throws(() => WriterLog.head(db, 's', 'w'), FileReplacedError)
          db.close()
        })
      }
    })
  }
}

suite('at normal', { skip }, () => {
  for (const [taking, take] of Object.entries(TAKINGS)) {
    test(`${taking}: the error names the first entry that was not seen stored`, (t) => {
      const { db, file } = opened(t, 'open', 'normal')
      // The look behind this one is good: 'one' and what came before is in the file.
      waitMs(12)
      WriterLog.append(db, 's', 'w', 'two')
      take(file)
      const acknowledged: bigint[] = []
      const end = performance.now() + 2_000
      const failure = (() => {
        while (performance.now() < end) {
          try {
            acknowledged.push(WriterLog.append(db, 's', 'w', 'x').seq)
          } catch (error) {
            return error
          }
        }
        return undefined
      })()
      assert.ok(failure instanceof FileReplacedError, String(failure))
      // At the latest, the entry that was acknowledged when the last good look was over.
      assert.ok((failure.firstUnseen?.seq ?? 0n) <= 3n, String(failure))
      assert.ok(failure.firstUnseen?.seq === 2n || acknowledged.length === 0, String(failure))
      assert.match(failure.message, /stream "s" writer "w" seq 2 on may not be in it/)
      assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), FileReplacedError)
    })
  }
})

test('what is not ours to judge goes on: checkpoints, other files, other connections', {
  skip,
}, (t) => {
  const { db, file } = opened(t, 'open', 'full')
  const steps: readonly (() => void)[] = [
    () => db.query('PRAGMA wal_checkpoint(TRUNCATE)'),
    () => fs.writeFileSync(`${file}.note`, 'x'),
    () => fs.unlinkSync(`${file}.note`),
    () => {
      using other = SqliteBackend.open(file)
      WriterLog.append(other, 's', 'other', 'x')
    },
    () => new DatabaseSync(file).close(),
    () => db.exec('VACUUM'),
  ]
  for (const [i, step] of steps.entries()) {
    step()
    assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, BigInt(i + 2))
  }
})

test('a copy that keeps the times of the folder is found as well', { skip }, (t) => {
  const { db, file } = opened(t, 'open', 'full')
  waitMs(60)
  WriterLog.append(db, 's', 'w', 'x')
  waitMs(60)
  WriterLog.append(db, 's', 'w', 'x')
  const { atime, mtime } = fs.statSync(dirname(file))
  fs.renameSync(file, `${file}.old`)
  fs.renameSync(`${file}.backup`, file)
  fs.utimesSync(dirname(file), atime, mtime)
  assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), FileReplacedError)
})

test('files that are made beside the database later are watched as well', { skip }, (t) => {
  const file = temporaryFile(t)
  const connection = new DatabaseSync(file)
  const db = SqliteBackend.fromConnection(connection)
  t.after(() => db.close())
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', '1')
  connection.exec('PRAGMA journal_mode = WAL')
  WriterLog.append(db, 's', 'w', '2')
  fs.unlinkSync(`${file}-wal`)
  assert.throws(() => WriterLog.append(db, 's', 'w', '3'), FileReplacedError)
})

test('a journal mode that is set there and back again is no alarm', { skip }, (t) => {
  const { db, file } = opened(t, 'open', 'full')
  db.query('PRAGMA journal_mode = DELETE')
  db.query('PRAGMA page_size = 8192')
  db.exec('VACUUM')
  db.query('PRAGMA journal_mode = WAL')
  assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 2n)
  fs.unlinkSync(`${file}-wal`)
  assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), FileReplacedError)
})

test('a class of the caller on top of a driver is the same library', { skip }, (t) => {
  class Traced extends DatabaseSync {}
  const { file } = opened(t, 'open', 'full')
  const connection = new Traced(file)
  const db = SqliteBackend.fromConnection(connection)
  assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 2n)
  db.close()
  connection.close()
})

test('descriptors are given back, however the backends end', {
  skip: skip || (process.platform !== 'linux' && 'only Linux shows the descriptors of a process'),
}, (t) => {
  const { file } = opened(t, 'open', 'full')
  const descriptors = () => fs.readdirSync('/proc/self/fd').length
  const before = descriptors()
  const connection = new DatabaseSync(file)
  for (let i = 0; i < 100; i++)
    WriterLog.append(SqliteBackend.fromConnection(connection), 's', 'w', 'x')
  for (let i = 0; i < 50; i++) SqliteBackend.open(file).close()
  // Those of the one connection that is open: the database, its -wal, and the guard's own.
  assert.ok(descriptors() - before <= 4, `${descriptors() - before} more`)
  connection.close()
})

test('a connection whose file has another name by now is refused', {
  skip: skip || (process.platform !== 'linux' && 'only Linux shows the descriptors of a process'),
}, (t) => {
  const file = temporaryFile(t)
  const connection = new DatabaseSync(file)
  connection.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a)')
  fs.copyFileSync(file, `${file}.copy`)
  fs.renameSync(file, `${file}.old`)
  fs.renameSync(`${file}-wal`, `${file}.old-wal`)
  fs.renameSync(`${file}-shm`, `${file}.old-shm`)
  fs.renameSync(`${file}.copy`, file)
  assert.throws(() => SqliteBackend.fromConnection(connection), FileReplacedError)
  connection.close()
})

test('a connection that leaves WAL mode by itself is not told that its files are gone', {
  skip,
}, (t) => {
  const { db } = opened(t, 'open', 'full')
  db.query('PRAGMA journal_mode = DELETE')
  assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 2n)
  db.query('PRAGMA journal_mode = WAL')
  assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 3n)
})

test('a connection whose file is gone already is refused by a typed error', { skip }, (t) => {
  const file = temporaryFile(t)
  const connection = new DatabaseSync(file)
  connection.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a)')
  fs.unlinkSync(file)
  assert.throws(() => SqliteBackend.fromConnection(connection), FileReplacedError)
  connection.close()
})

suite('two SQLite libraries in one process', { skip }, () => {
  test('both through us: the second is refused, and the first goes on', async (t) => {
    const { db, file } = opened(t, 'open', 'full')
    const other = new Database(file)
    assert.throws(() => SqliteBackend.fromConnection(other), TwoLibrariesError)
    void db
  })

  test('the other was open before us', (t) => {
    const file = temporaryFile(t)
    const other = new Database(file)
    other.exec('PRAGMA journal_mode = WAL; CREATE TABLE app (a)')
    assert.throws(() => SqliteBackend.open(file), {
      code: 'STORE_TWO_LIBRARIES',
      message: /give that connection to SqliteBackend\.fromConnection/,
    })
    other.exec('INSERT INTO app VALUES (1)')
    const store = SqliteBackend.fromConnection(other)
    WriterLog.ensureSchema(store)
  })

  test('the other is opened after us: found at a write, a moment later', (t) => {
    const { db, file } = opened(t, 'open', 'full')
    const other = new Database(file)
    other.prepare('SELECT count(*) FROM _agent_store_log').get()
    const isFound = (error: unknown) => error instanceof TwoLibrariesError
    const end = performance.now() + 5_000
    const write = () => {
      while (performance.now() < end) WriterLog.append(db, 's', 'w', 'x')
    }
    assert.throws(write, isFound)
    assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), isFound)
  })

  test('our close leaves the other its WAL: what it acknowledges stays', async (t) => {
    const codes = warningCodes(t)
    const { db, file } = opened(t, 'open', 'full')
    const other = new Database(file)
    other.exec('CREATE TABLE app (a)')
    db.close()
    assert.ok(fs.existsSync(`${file}-wal`))
    other.exec('INSERT INTO app VALUES (1)')
    assert.ok((await codes()).includes('AGENT_STORE_TWO_LIBRARIES'))
  })

  test('several connections of one library are no matter', (t) => {
    const { db, file } = opened(t, 'open', 'full')
    using second = SqliteBackend.open(file)
    const raw = new DatabaseSync(file)
    raw.prepare('SELECT count(*) FROM _agent_store_log').get()
    waitMs(60)
    WriterLog.append(db, 's', 'w', 'x')
    WriterLog.append(second, 's', 'w', 'x')
    raw.close()
    assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 4n)
  })
})

function waitMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
