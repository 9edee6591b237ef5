/**
 * `npm run bench:blocking`: for how long a call stands still, and the event loop with it. The
 * figures of the README's guarantees come from here; they are of one machine, and say no more than
 * the order of magnitude.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteBackend, WriterLog } from 'agent-store'

const folder = mkdtempSync(join(tmpdir(), 'agent-store-blocking-'))
const db = SqliteBackend.open(join(folder, 'fleet.db'))
WriterLog.ensureSchema(db)

function time(name: string, work: () => void): void {
  const start = performance.now()
  work()
  console.log(`${name.padEnd(44)} ${(performance.now() - start).toFixed(1).padStart(8)} ms`)
}

const small = Array.from({ length: 1_000 }, () => new Uint8Array(256))
WriterLog.append(db, 's', 'w', 'warm')
time('100 appends of 256 bytes, one by one', () => {
  for (const payload of small.slice(0, 100)) WriterLog.append(db, 's', 'w', payload)
})
for (const mebibytes of [1, 16, 64]) {
  const payload = new Uint8Array(mebibytes * 1024 * 1024)
  time(`an append of ${mebibytes} MiB`, () => WriterLog.append(db, 'large', 'w', payload))
}
for (let i = 0; i < 100; i++) WriterLog.appendMany(db, 's', 'w', small)
time('verify, 100,000 entries of 256 bytes', () => WriterLog.verify(db, 's', 'w'))
time('verify, 3 entries of 81 MiB together', () => WriterLog.verify(db, 'large', 'w'))
db.close()
rmSync(folder, { recursive: true, force: true })
