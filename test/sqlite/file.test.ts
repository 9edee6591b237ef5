/**
 * Opening a file: a message that says what is wrong, WAL asserted, and a full disk survived.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { mock, type TestContext } from 'node:test'
import { BackendError, BusyError, Generation, SqliteBackend, WriterLog } from 'agent-store'
import { insertRaw, temporaryFolder, unlessOn, warningCodes } from '../support.ts'

function refused(run: () => unknown, message: RegExp, driverCode?: string): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof BackendError)
    assert.match(error.message, message)
    assert.equal(error.driverCode, driverCode)
    return true
  })
}

/** A file with one entry, closed. */
function storeIn(t: TestContext): string {
  const path = join(temporaryFolder(t), 'fleet.db')
  using db = SqliteBackend.open(path)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  return path
}

test('a folder is no file', (t) => {
  refused(() => SqliteBackend.open(temporaryFolder(t)), /cannot open .* it is a folder/)
})

test('a missing folder is named, and not created', (t) => {
  const folder = join(temporaryFolder(t), 'missing')
  refused(
    () => SqliteBackend.open(join(folder, 'x.db')),
    /cannot create .* there is no folder .*missing/,
  )
  assert.equal(fs.existsSync(folder), false)
})

test('a file where a folder should be is named', (t) => {
  const file = join(temporaryFolder(t), 'file')
  fs.writeFileSync(file, 'x')
  refused(() => SqliteBackend.open(join(file, 'x.db')), /there is no folder/)
})

test('a text file is no database, and is left as it was', (t) => {
  const path = join(temporaryFolder(t), 'notes.txt')
  const text = 'Dear diary, '.repeat(200)
  fs.writeFileSync(path, text)
  refused(
    () => SqliteBackend.open(path),
    /cannot open .*notes\.txt.*not an SQLite database/,
    'SQLITE_NOTADB',
  )
  refused(() => SqliteBackend.open(path, { readOnly: true }), /cannot open/, 'SQLITE_NOTADB')
  assert.equal(fs.readFileSync(path, 'utf8'), text)
})

test('an empty file becomes a database', (t) => {
  const path = join(temporaryFolder(t), 'empty.db')
  fs.writeFileSync(path, '')
  using db = SqliteBackend.open(path)
  WriterLog.ensureSchema(db)
  assert.equal(db.journalMode, 'wal')
})

test('a path that names no file is refused', () => {
  assert.throws(() => SqliteBackend.open(''), RangeError)
  assert.throws(() => SqliteBackend.open(':memory:'), /use SqliteBackend\.inMemory\(\)/)
  assert.throws(() => SqliteBackend.open('a\0b'), /path holds a NUL/)
  assert.throws(() => SqliteBackend.open(5 as never), /path must be a string/)
  assert.throws(() => SqliteBackend.open(undefined as never), TypeError)
  assert.throws(() => SqliteBackend.open(new URL('https://example.org/x.db')), TypeError)
})

test('a name that the system refuses is a BackendError too', (t) => {
  const path = join(temporaryFolder(t), `${'x'.repeat(300)}.db`)
  assert.throws(() => SqliteBackend.open(path), BackendError)
})

test('a file: URL as text names that file', (t) => {
  const path = storeIn(t)
  using db = SqliteBackend.open(`file://${path}`)
  assert.equal(db.path, path)
})

test('reading only: it reads, refuses to write, and creates nothing', (t) => {
  const path = storeIn(t)
  {
    using db = SqliteBackend.open(path, { readOnly: true })
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1n)
    WriterLog.ensureSchema(db)
    refused(() => WriterLog.append(db, 's', 'w', 'two'), /may only be read/, 'SQLITE_READONLY')
    assert.equal(
      db.snapshot(() => WriterLog.head(db, 's', 'w')?.seq),
      1n,
    )
  }
  const missing = `${path}.missing`
  refused(() => SqliteBackend.open(missing, { readOnly: true }), /there is no such file/)
  assert.equal(fs.existsSync(missing), false)
})

const inline = unlessOn('bun', 'takes no --input-type') || unlessOn('deno', 'takes no --input-type')

test('a file that this process may not write says so when it is opened', { skip: inline }, (t) => {
  const path = storeIn(t)
  fs.chmodSync(path, 0o444)
  fs.chmodSync(join(path, '..'), 0o555)
  const script = `
    import { SqliteBackend, WriterLog } from 'agent-store'
    try {
      using db = SqliteBackend.open(${JSON.stringify(path)})
      WriterLog.append(db, 's', 'w', 'two')
      console.log('written')
    } catch (error) {
      console.log(JSON.stringify([error.name, error.code, error.driverCode, error.message]))
    }`
  // root may write anything, so the child is nobody; it must be able to read this checkout.
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const child = spawnSync(
    process.execPath,
    ['-C', '@agent-store/source', '--input-type=module', '--eval', script],
    { encoding: 'utf8', cwd: import.meta.dirname, ...nobody },
  )
  if (child.error !== undefined || /EACCES|permission denied/i.test(child.stderr)) {
    t.skip(
      `another user cannot run this checkout: ${child.error?.message ?? child.stderr.slice(0, 200)}`,
    )
    return
  }
  const [name, code, driverCode, message] = JSON.parse(child.stdout)
  assert.deepEqual([name, code, driverCode], ['BackendError', 'STORE_BACKEND', 'SQLITE_READONLY'])
  assert.match(message, /may only be read/)
})

test('the switch to WAL waits for others as long as it was told, then says that it is busy', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  const other = new DatabaseSync(path)
  other.exec('CREATE TABLE t (a); BEGIN EXCLUSIVE')
  const start = performance.now()
  assert.throws(() => SqliteBackend.open(path, { busyTimeoutMs: 100 }), BusyError)
  const took = performance.now() - start
  assert.ok(took >= 90 && took < 5_000, `${took} ms`)
  other.exec('COMMIT')
  other.close()
  using db = SqliteBackend.open(path, { busyTimeoutMs: 100 })
  assert.equal(db.journalMode, 'wal')
})

test('a file in another journal mode is brought to WAL', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  const other = new DatabaseSync(path)
  other.exec('PRAGMA journal_mode = PERSIST; CREATE TABLE t (a)')
  other.close()
  using db = SqliteBackend.open(path)
  assert.equal(db.journalMode, 'wal')
})

/** statfs as it would answer on a network file system. Everything else is the real disk. */
function mockNetworkFileSystem(type: number): () => void {
  const real = fs.statfsSync('/')
  const mocked = mock.method(fs, 'statfsSync', () => Object.assign(Object.create(real), { type }))
  return () => mocked.mock.restore()
}

for (const [name, type] of [
  ['NFS', 0x6969],
  ['SMB2, as a negative number', 0xfe534d42 | 0],
  ['CIFS', 0xff534d42],
  ['Ceph', 0x00c36400],
] as const) {
  test(`statfs mocked as ${name}: a rollback journal, as durable, and a warning`, async (t) => {
    const path = join(temporaryFolder(t), 'fleet.db')
    const codes = warningCodes(t)
    const restore = mockNetworkFileSystem(type)
    try {
      using db = SqliteBackend.open(path)
      assert.equal(db.journalMode, 'delete')
      assert.deepEqual(db.query('PRAGMA synchronous'), [[3n]])
      WriterLog.ensureSchema(db)
      assert.equal(WriterLog.append(db, 's', 'w', 'x').seq, 1n)
    } finally {
      restore()
    }
    assert.deepEqual(await codes(), ['AGENT_STORE_NO_WAL'])
  })
}

test('statfs mocked as NFS: a file in WAL mode that nobody has open is taken out of it', async (t) => {
  const path = storeIn(t)
  const codes = warningCodes(t)
  const restore = mockNetworkFileSystem(0x6969)
  try {
    using db = SqliteBackend.open(path)
    assert.equal(db.journalMode, 'delete')
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1n)
  } finally {
    restore()
  }
  assert.deepEqual(await codes(), ['AGENT_STORE_NO_WAL'])
})

test('statfs mocked as NFS: a file in WAL mode that others have open is refused', (t) => {
  const path = storeIn(t)
  using other = SqliteBackend.open(path)
  WriterLog.head(other, 's', 'w')
  const restore = mockNetworkFileSystem(0x6969)
  try {
    assert.throws(
      () => SqliteBackend.open(path, { busyTimeoutMs: 50 }),
      (error) => error instanceof BackendError || error instanceof BusyError,
    )
  } finally {
    restore()
  }
  assert.equal(other.journalMode, 'wal')
})

test('a local file system gives no warning', async (t) => {
  const codes = warningCodes(t)
  storeIn(t)
  assert.deepEqual(await codes(), [])
})

/** Fill `db` until it is full, and check that what was acknowledged is all that there is. */
function fillAndCheck(db: SqliteBackend, payload: Uint8Array): void {
  let acknowledged = WriterLog.head(db, 's', 'w')?.seq ?? 0n
  let failure: unknown
  for (let i = 0; i < 2_000 && failure === undefined; i++) {
    try {
      acknowledged = WriterLog.append(db, 's', 'w', payload).seq
    } catch (error) {
      failure = error
    }
  }
  assert.ok(failure instanceof BackendError, String(failure))
  assert.equal(failure.driverCode, 'SQLITE_FULL')
  assert.match(failure.message, /nothing of this statement was stored/)
  assert.equal(db.inTransaction, false)
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, acknowledged)
  // In a transaction: none of it, even where SQLite rolled back by itself.
  assert.throws(
    () =>
      db.transaction(() => {
        new Generation('lost').bump(db)
        for (let i = 0; i < 2_000; i++) WriterLog.append(db, 's', 'w', payload)
      }),
    BackendError,
  )
  assert.equal(db.inTransaction, false)
  assert.throws(() => WriterLog.appendMany(db, 's', 'w', Array(2_000).fill(payload)), BackendError)
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, acknowledged)
  assert.equal(new Generation('lost').current(db), 0n)
}

test('a database full by max_page_count keeps all that it acknowledged, and goes on when there is room', (t) => {
  const path = join(temporaryFolder(t), 'full.db')
  using db = SqliteBackend.open(path)
  WriterLog.ensureSchema(db)
  Generation.ensureSchema(db)
  db.query('PRAGMA max_page_count = 60')
  fillAndCheck(db, new Uint8Array(3_000))
  db.query('PRAGMA max_page_count = 1000000')
  const before = WriterLog.head(db, 's', 'w')?.seq ?? 0n
  assert.equal(WriterLog.append(db, 's', 'w', 'room again').seq, before + 1n)
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, before + 1n)
})

test('a full disk: all that was acknowledged is there, and it goes on when there is room', (t) => {
  const folder = temporaryFolder(t)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'agent-store-test', folder])
  if (mounted.error !== undefined || mounted.status !== 0) {
    t.skip(
      `no tmpfs can be mounted here: ${mounted.error?.message ?? String(mounted.stderr).trim()}`,
    )
    return
  }
  try {
    const ballast = join(folder, 'ballast')
    fs.writeFileSync(ballast, new Uint8Array(300_000))
    const path = join(folder, 'full.db')
    {
      using db = SqliteBackend.open(path)
      WriterLog.ensureSchema(db)
      Generation.ensureSchema(db)
      fillAndCheck(db, new Uint8Array(3_000))
    }
    fs.rmSync(ballast)
    using db = SqliteBackend.open(path)
    const before = WriterLog.verify(db, 's', 'w')?.seq ?? 0n
    assert.ok(before > 0n)
    assert.equal(WriterLog.append(db, 's', 'w', 'room again').seq, before + 1n)
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, before + 1n)
  } finally {
    spawnSync('umount', [folder])
  }
})

test('a file that is damaged in the middle is reported, not read as something else', (t) => {
  const path = join(temporaryFolder(t), 'damaged.db')
  {
    using db = SqliteBackend.open(path)
    WriterLog.ensureSchema(db)
    for (let i = 0; i < 50; i++) WriterLog.append(db, 's', 'w', new Uint8Array(3_000).fill(i))
  }
  const bytes = fs.readFileSync(path)
  bytes.fill(0xa5, 4096, bytes.length)
  fs.writeFileSync(path, bytes)
  using db = SqliteBackend.open(path)
  assert.throws(
    () => WriterLog.verify(db, 's', 'w'),
    (error) => error instanceof BackendError && error.driverCode === 'SQLITE_CORRUPT',
  )
})

test('a row that was put in by hand is on disk as any other', (t) => {
  const path = storeIn(t)
  {
    using db = SqliteBackend.open(path)
    insertRaw(db, ['s', 'other', 1n, null, new Uint8Array(32), new Uint8Array(0)])
  }
  using db = SqliteBackend.open(path)
  assert.equal(WriterLog.entry(db, 's', 'other', 1n)?.payload.length, 0)
})
