/** Where WAL can be had: by the type of the file system, and for FUSE by the table of mounts. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { mock, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { SqliteBackend, WriterLog } from 'agent-store'
import { mountTypeOf, sharedFileSystemOf } from '../../src/sqlite/file-system.ts'
import { temporaryFile, temporaryFolder, unlessOn, warningCodes } from '../support.ts'

const MOUNTS = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /mnt rw - tmpfs tmpfs rw
41 22 0:40 / /mnt/host\\040files rw - virtiofs share rw
42 22 0:41 / /mnt/host\\040files/disk rw - fuseblk /dev/sdb1 rw
43 22 0:42 / /home/me/remote rw,nosuid - fuse.sshfs me@there:/ rw
44 22 0:43 / /home/me/pool rw shared:7 master:1 - fuse.mergerfs a:b rw
45 22 0:44 / /home/me/pool/sub rw - fuse.rclone r: rw
`

for (const [folder, type] of [
  ['/', 'ext4'],
  ['/home/me', 'ext4'],
  ['/mnt', 'tmpfs'],
  ['/mnt/host files', 'virtiofs'],
  ['/mnt/host files/a/b', 'virtiofs'],
  ['/mnt/host files/disk/x', 'fuseblk'],
  ['/mnt/host filesystem', 'tmpfs'],
  ['/home/me/remote', 'fuse.sshfs'],
  ['/home/me/pool/deep/er', 'fuse.mergerfs'],
  ['/home/me/pool/sub', 'fuse.rclone'],
] as const) {
  test(`${folder} lies on ${type}`, () => assert.equal(mountTypeOf(folder, MOUNTS), type))
}

test('a table that names nothing, or is none, tells nothing', () => {
  for (const table of ['', 'x\n\n', '1 2 3 / - ext4'])
    assert.equal(mountTypeOf('/a', table), undefined)
})

test('of two mounts on one point the later one is seen', () => {
  const table = '1 0 0:1 / /a rw - fuse.sshfs x rw\n2 1 0:2 / /a rw - ext4 y rw'
  assert.equal(mountTypeOf('/a/b', table), 'ext4')
})

/** statfs as it would answer on another file system. Everything else is the real disk. */
function mockFileSystem(t: { after(done: () => void): void }, type: number, mount?: string): void {
  const real = fs.statfsSync('/')
  const mocks = [mock.method(fs, 'statfsSync', () => Object.assign(Object.create(real), { type }))]
  if (mount !== undefined) {
    const { readFileSync } = fs
    mocks.push(
      mock.method(fs, 'readFileSync', (...args: Parameters<typeof readFileSync>) =>
        args[0] === '/proc/self/mountinfo'
          ? `1 0 0:1 / / rw - ${mount} x rw`
          : readFileSync(...args),
      ) as never,
    )
  }
  t.after(() => {
    for (const each of mocks) each.mock.restore()
  })
}

for (const [name, type] of [
  ['vboxsf', 0x786f4256],
  ['vmhgfs', 0xbacbacbc | 0],
  ['Lustre', 0x0bd00bd0],
  ['GPFS', 0x47504653],
  ['BeeGFS', 0x19830326],
  ['9P', 0x01021997],
  ['AFS', 0x6b414653],
] as const) {
  test(`statfs mocked as ${name}: a rollback journal and the warning`, async (t) => {
    const codes = warningCodes(t)
    mockFileSystem(t, type)
    const file = temporaryFile(t)
    assert.equal(sharedFileSystemOf(file), name)
    using db = SqliteBackend.open(file)
    assert.equal(db.journalMode, 'delete')
    assert.deepEqual(await codes(), ['AGENT_STORE_NO_WAL'])
  })
}

for (const [mount, isLocal] of [
  ['virtiofs', false],
  ['fuse.sshfs', false],
  ['fuse.grpcfuse', false],
  ['fuse.s3fs', false],
  ['fuse.osxfs', false],
  ['fuse.something-new', false],
  ['fuse', false],
  ['fuseblk', true],
  ['fuse.mergerfs', true],
] as const) {
  test(`statfs mocked as FUSE, mounted as ${mount}: ${isLocal ? 'WAL' : 'a rollback journal'}`, (t) => {
    mockFileSystem(t, 0x65735546, mount)
    const file = temporaryFile(t)
    assert.equal(sharedFileSystemOf(file), isLocal ? undefined : mount)
    using db = SqliteBackend.open(file)
    assert.equal(db.journalMode, isLocal ? 'wal' : 'delete')
  })
}

/** A store that is closed, in a folder that is mounted for reading alone; `undefined` where none can be. */
function mountedForReading(t: Parameters<typeof temporaryFolder>[0]): string | undefined {
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', 'agent-store-test', folder])
  t.after(() => {
    spawnSync('umount', [folder])
    fs.rmdirSync(folder)
  })
  if (mounted.status !== 0) return undefined
  const file = join(folder, 'fleet.db')
  {
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    WriterLog.appendMany(db, 's', 'w', ['one', 'two'])
  }
  assert.equal(spawnSync('mount', ['-o', 'remount,ro', folder]).status, 0)
  return file
}

/** Deno's node:sqlite takes the path of a URL alone, and so cannot be told that nobody writes. */
const withoutUri = { skip: unlessOn('deno', 'its node:sqlite takes no options in a URL') }

test(
  'a clean store on a mount for reading alone is read, and nothing is made beside it',
  withoutUri,
  (t) => {
    const file = mountedForReading(t)
    if (file === undefined) return t.skip('no tmpfs can be mounted here')
    using db = SqliteBackend.open(file, { readOnly: true })
    assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 2n)
    assert.throws(() => WriterLog.append(db, 's', 'w', 'x'))
    assert.deepEqual(fs.readdirSync(join(file, '..')), ['fleet.db'])
  },
)

test('every reading command reads it', withoutUri, (t) => {
  const file = mountedForReading(t)
  if (file === undefined) return t.skip('no tmpfs can be mounted here')
  const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')
  for (const args of [['verify'], ['info'], ['heads'], ['streams'], ['export'], ['log']]) {
    const [command = '', ...more] = args
    const given: readonly string[] =
      command === 'log' ? ['log', file, 's', 'w'] : [command, file, ...more]
    const { status, stderr } = spawnSync(process.execPath, [main, ...given], { encoding: 'utf8' })
    assert.equal(status, 0, `${command}: ${stderr}`)
  }
})

const skip = process.platform === 'win32' && 'Windows has no such permissions'
const modeOf = (file: string) => (fs.statSync(file).mode & 0o777).toString(8)

test('a new store is readable by its owner alone, unless told otherwise', { skip }, (t) => {
  const file = temporaryFile(t)
  {
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    for (const suffix of ['', '-wal', '-shm']) assert.equal(modeOf(`${file}${suffix}`), '600')
  }
  const shared = `${file}.shared`
  SqliteBackend.open(shared, { mode: 0o640 }).close()
  assert.equal(modeOf(shared), '640')
  assert.deepEqual(
    fs.readdirSync(join(file, '..')).filter((name) => !name.startsWith('store.db')),
    [],
  )
  for (const mode of [0, 0o1000, 0.5, '600' as never]) {
    assert.throws(() => SqliteBackend.open(`${file}.x`, { mode }), /mode must be/)
  }
})

test('a store that is there keeps its permissions', { skip }, (t) => {
  const file = temporaryFile(t)
  SqliteBackend.open(file).close()
  fs.chmodSync(file, 0o644)
  SqliteBackend.open(file).close()
  assert.equal(modeOf(file), '644')
})

test('a file: name with a query, a fragment or a relative path is refused', (t) => {
  const folder = temporaryFolder(t)
  const url = pathToFileURL(join(folder, 'a.db'))
  for (const path of ['file:rel.db', 'file:rel.db?mode=ro', 'file:mem?mode=memory', 'file:']) {
    assert.throws(() => SqliteBackend.open(path), /relative file: name.* without file:/, path)
  }
  for (const path of [`${url.href}?mode=ro`, `${url.href}?immutable=1`, `${url.href}#x`]) {
    assert.throws(() => SqliteBackend.open(path), /pass options to open\(\)/, path)
    assert.throws(() => SqliteBackend.open(new URL(path)), /pass options to open\(\)/, path)
  }
  assert.deepEqual(fs.readdirSync(folder), [])
  SqliteBackend.open(url.href).close()
  assert.ok(fs.existsSync(join(folder, 'a.db')))
})

test('the WAL that a long reader let grow shrinks behind it', (t) => {
  const file = temporaryFile(t)
  using db = SqliteBackend.open(file, { durability: 'normal' })
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'x')
  assert.deepEqual(db.query('PRAGMA journal_size_limit'), [[64n * 1024n * 1024n]])
  const large = new Uint8Array(1_000_000)
  {
    using reader = SqliteBackend.open(file, { readOnly: true })
    reader.snapshot(() => {
      WriterLog.head(reader, 's', 'w')
      for (let i = 0; i < 80; i++) WriterLog.append(db, 's', 'w', large)
    })
  }
  assert.ok(fs.statSync(`${file}-wal`).size > 70e6)
  for (let i = 0; i < 6; i++) WriterLog.append(db, 's', 'w', large)
  assert.ok(fs.statSync(`${file}-wal`).size <= 64 * 1024 * 1024)
})

test('what the schema of a file calls is not trusted', (t) => {
  using db = SqliteBackend.open(temporaryFile(t))
  assert.deepEqual(db.query('PRAGMA trusted_schema'), [[0n]])
})

test('a connection that does not flush is told of', {
  skip: unlessOn('bun', 'its drivers are of another kind'),
}, async (t) => {
  const codes = warningCodes(t)
  using db = SqliteBackend.open(temporaryFile(t))
  db.connection.exec('PRAGMA synchronous = OFF')
  SqliteBackend.fromConnection(db.connection)
  // Node gives the warnings of the tests before a tick later, too.
  const told = async () => (await codes()).filter((code) => code === 'AGENT_STORE_NOT_SYNCHRONOUS')
  assert.equal((await told()).length, 1)
  SqliteBackend.fromConnection(db.connection, { durability: 'full' })
  assert.equal((await told()).length, 1)
})
