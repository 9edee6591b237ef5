/**
 * `npm run interop`: the real crate `agent-store` 0.1.2 reads and verifies what this package
 * wrote, and the other way round, over 10,000 random payloads each way.
 */
import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Generation, SqliteBackend, WriterLog } from 'agent-store'
import { buildRust, runRust } from './rust.ts'

const COUNT = 10_000

interface Dumped {
  readonly stream: string
  readonly writer: string
  readonly seq: string
  readonly prevHash: string | null
  readonly contentHash: string
  readonly payloadHex: string
}

const rust = buildRust()
if ('missing' in rust) {
  console.log(`skipped: ${rust.missing}`)
  process.exit(0)
}
const { path: program } = rust
console.log(`the crate: ${runRust(program, 'info').trim()}`)

const folder = mkdtempSync(join(tmpdir(), 'agent-store-interop-'))
try {
  theirFixture(join(folder, 'fixture.db'), join(folder, 'fixture.json'))
  theirsByOurs(join(folder, 'theirs.db'))
  oursByTheirs(join(folder, 'ours.db'))
  inTurns(join(folder, 'turns.db'))
} finally {
  rmSync(folder, { recursive: true })
}

function theirFixture(db: string, json: string): void {
  runRust(program, 'write', db, json)
  const expected = JSON.parse(readFileSync(json, 'utf8'))
  assert.deepEqual(byPlace(dumpOurs(db)), byPlace(expected.entries))
  using store = SqliteBackend.open(db)
  const { entries } = WriterLog.verifyAll(store)
  const counters = Object.fromEntries(Generation.list(store).map((c) => [c.key, String(c.value)]))
  assert.deepEqual(counters, expected.generations)
  console.log(
    `ok: its fixture of ${entries} entries and ${Object.keys(counters).length} counters, read here`,
  )
}

function theirsByOurs(db: string): void {
  runRust(program, 'write-random', db, String(COUNT), '7')
  using store = SqliteBackend.open(db)
  const { logs, entries } = WriterLog.verifyAll(store)
  assert.equal(entries, BigInt(COUNT))
  assert.deepEqual(byPlace(dumpOurs(db)), byPlace(dumpTheirs(db)))
  console.log(
    `ok: ${entries} random payloads that it wrote (${logs} logs), verified and equal here`,
  )
}

function oursByTheirs(db: string): void {
  const store = SqliteBackend.open(db)
  WriterLog.ensureSchema(store)
  Generation.ensureSchema(store)
  store.transaction(() => {
    for (let i = 0; i < COUNT; i++) {
      const size = Math.floor(3_000 * Math.random() ** 3)
      WriterLog.append(store, `conv:${randomInt(5)}`, `✎ writer ${randomInt(4)}`, randomBytes(size))
    }
    for (const key of ['report', '', '🦎'])
      new Generation(key).set(store, BigInt(randomInt(2 ** 40)) << 20n)
  })
  const counters = Object.fromEntries(Generation.list(store).map((c) => [c.key, String(c.value)]))
  store.close()
  const verified = JSON.parse(runRust(program, 'verify', db))
  assert.equal(verified.entries, COUNT)
  assert.deepEqual(byPlace(dumpTheirs(db)), byPlace(dumpOurs(db)))
  assert.deepEqual(JSON.parse(runRust(program, 'generations', db)), counters)
  console.log(
    `ok: ${COUNT} random payloads written here (${verified.logs} logs), verified and equal there`,
  )
}

function inTurns(db: string): void {
  for (let i = 0; i < 20; i++) {
    using store = SqliteBackend.open(db)
    WriterLog.ensureSchema(store)
    Generation.ensureSchema(store)
    WriterLog.append(store, 's', 'w', `ours ${i}`)
    runRust(program, 'append', db, 's', 'w', `theirs ${i}`)
    new Generation('g').bump(store)
    runRust(program, 'bump', db, 'g')
  }
  using store = SqliteBackend.open(db)
  assert.equal(WriterLog.verify(store, 's', 'w')?.seq, 40n)
  assert.equal(new Generation('g').current(store), 40n)
  runRust(program, 'verify', db)
  console.log('ok: 40 appends and bumps in turns on one open file')
}

function dumpTheirs(db: string): Dumped[] {
  return runRust(program, 'dump', db)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

function dumpOurs(db: string): Dumped[] {
  using store = SqliteBackend.open(db, { readOnly: true })
  return WriterLog.streams(store).flatMap((stream) =>
    WriterLog.writers(store, stream).flatMap((writer) =>
      WriterLog.entries(store, stream, writer).map((entry) => ({
        stream,
        writer,
        seq: String(entry.seq),
        prevHash: entry.prevHash === null ? null : Buffer.from(entry.prevHash).toString('hex'),
        contentHash: Buffer.from(entry.contentHash).toString('hex'),
        payloadHex: Buffer.from(entry.payload).toString('hex'),
      })),
    ),
  )
}

function byPlace(entries: readonly Dumped[]): Dumped[] {
  const place = (e: Dumped) => `${e.stream}\0${e.writer}\0${e.seq.padStart(20)}`
  return entries.toSorted((a, b) => (place(a) < place(b) ? -1 : 1))
}
