/** A server that has no room left refuses what it cannot keep, and says so. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { BackendError, ConnectionError, InDoubtError, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { noise } from '../support.ts'
import { copyTemplate } from './data-folder.ts'
import { giveTo, type Installation } from './installation.ts'
import { errorOf } from './meanwhile.ts'
import { prepareServer, startServer, withoutServer } from './server.ts'
import { makeSmallDisk, withoutSmallDisk } from './small-disk.ts'

const skip = withoutServer() || withoutSmallDisk()
const LOG = ['conv', 'alice'] as const
const DISK_FULL = '53100'

/** Append until it fails. @returns how many were appended, and why the next was not. */
function appendUntilFull(db: PgBackend): { appended: number; error: unknown } {
  let appended = 0
  const error = errorOf(() => {
    for (; appended < 1000; appended++) WriterLog.append(db, ...LOG, payload(appended))
  })
  return { appended, error }
}

const payload = (n: number) => noise(100_000, n + 1)

/** The log has these entries and no others. */
function assertLog(db: PgBackend, length: number): void {
  assert.equal(WriterLog.verify(db, ...LOG)?.seq, BigInt(length))
  for (const [n, entry] of WriterLog.entries(db, ...LOG).entries()) {
    assert.ok(Buffer.compare(entry.payload, payload(n)) === 0, `entry ${n}`)
  }
}

test('an append that has no room is refused alone, and possible again with room', {
  skip,
}, (t) => {
  using server = startServer({ fsync: false })
  const disk = makeSmallDisk(t, server.installation.account, 4)
  using admin = PgBackend.connect(server.url())
  admin.exec(`CREATE TABLESPACE small LOCATION '${disk.folder}'`)
  const url = `${server.url()}?options=-cdefault_tablespace%3Dsmall%20-ctemp_tablespaces%3Dsmall`
  using db = PgBackend.connect(url)
  WriterLog.ensureSchema(db)

  const { appended, error } = appendUntilFull(db)
  assert.ok(error instanceof BackendError, String(error))
  assert.equal(error.driverCode, DISK_FULL)
  assert.ok(appended > 5)
  assertLog(db, appended)

  // All or nothing, and in a transaction as well.
  const many = Array.from({ length: 20 }, (_, n) => payload(appended + n))
  assert.throws(() => WriterLog.appendMany(db, ...LOG, many), { driverCode: DISK_FULL })
  const inTransaction = () => {
    for (const each of many) WriterLog.append(db, ...LOG, each)
  }
  assert.throws(() => db.transaction(inTransaction), { driverCode: DISK_FULL })
  const sort = 'SELECT n FROM generate_series(1, 1000000) AS n ORDER BY -n'
  assert.throws(() => [...db.iterate(sort)], { driverCode: DISK_FULL })
  assertLog(db, appended)

  disk.grow(64)
  WriterLog.append(db, ...LOG, payload(appended))
  assertLog(db, appended + 1)
})

test('an append that finds no room for the journal is in doubt, and found out about', {
  skip,
}, (t) => {
  let grow = (_: number): void => undefined
  const fill = (installation: Installation, folder: string) => {
    copyTemplate(installation, folder)
    const disk = makeSmallDisk(t, installation.account, 16)
    grow = disk.grow
    const journal = join(folder, 'data/pg_wal')
    fs.cpSync(journal, disk.folder, { recursive: true })
    for (const each of fs.readdirSync(disk.folder))
      giveTo(installation.account, join(disk.folder, each))
    fs.rmSync(journal, { recursive: true })
    fs.symlinkSync(disk.folder, journal)
  }
  const settings = ['min_wal_size = 2MB', 'max_wal_size = 256MB', 'restart_after_crash = off']
  using server = prepareServer({ fsync: false, settings }, fill)
  server.start()
  using db = PgBackend.connect({ url: server.url(), reconnect: true })
  WriterLog.ensureSchema(db)

  const { appended, error } = appendUntilFull(db)
  assert.ok(error instanceof InDoubtError, String(error))
  assert.ok(error.cause instanceof ConnectionError)
  assert.equal(error.cause.driverCode, DISK_FULL)
  assert.throws(() => WriterLog.append(db, ...LOG, payload(appended)), InDoubtError)

  grow(64)
  server.kill()
  server.start()
  WriterLog.append(db, ...LOG, payload(appended))
  assertLog(db, appended + 1)
})
