/** What bells announced with a hash, compared with what the store has. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Entry, SqliteBackend, WriterLog } from 'agent-store'
import { AnnouncedHeads } from '../../src/follow/announced-heads.ts'
import { logKey } from '../../src/shared/log-key.ts'

const OTHER = new Uint8Array(32).fill(7)
const forkOf = (announced: AnnouncedHeads, db: SqliteBackend, { stream, writer, seq }: Entry) =>
  announced.forkOf(db, logKey({ stream, writer }), seq - 1n)

test('an entry that was announced otherwise is a fork, and reported once', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const entry = WriterLog.append(db, 's', 'w', 'ours')
  const announced = new AnnouncedHeads()
  announced.add({ stream: 's', writer: 'w', seq: 1n })
  assert.equal(forkOf(announced, db, entry), undefined)
  announced.add(entry)
  assert.equal(forkOf(announced, db, entry), undefined)
  announced.add({ ...entry, contentHash: OTHER })
  assert.equal(forkOf(announced, db, entry)?.isNew, true)
  assert.equal(forkOf(announced, db, entry)?.isNew, false)
})

test('of very many logs, the ones announced last are compared', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const announced = new AnnouncedHeads()
  const entries = db.transaction(() =>
    Array.from({ length: 1_025 }, (_, n) => WriterLog.append(db, `s${n}`, 'w', 'ours')),
  )
  for (const entry of entries) announced.add({ ...entry, contentHash: OTHER })
  const [first, second] = entries.map((entry) => forkOf(announced, db, entry))
  assert.equal(first, undefined)
  assert.equal(second?.error.code, 'STORE_FORK')
})
