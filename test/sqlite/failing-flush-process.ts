/**
 * Writes once while the flush of the WAL fails, says what it was told, and dies without closing.
 *
 * @module
 */
import { rmSync, writeFileSync } from 'node:fs'
import { Generation, SqliteBackend, WriterLog } from 'agent-store'

const [, script, file = '', what = '', mode = ''] = process.argv

const WRITES: Readonly<Record<string, (db: SqliteBackend) => unknown>> = {
  append: (db) => WriterLog.append(db, 's', 'w', 'charge'),
  appendMany: (db) => WriterLog.appendMany(db, 's', 'w', ['charge']),
  transaction: (db) =>
    db.transaction(() => {
      new Generation('g').bump(db)
      return WriterLog.append(db, 's', 'w', 'charge')
    }),
  bump: (db) => new Generation('g').bump(db),
}

if (script === import.meta.filename) {
  const fault = String(process.env.FLUSH_FAULT)
  const db = SqliteBackend.open(file)
  writeFileSync(fault, mode)
  let said = 'acknowledged'
  try {
    WRITES[what]?.(db)
  } catch (error) {
    said = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
  rmSync(fault, { force: true })
  let again = ''
  if (process.argv.includes('again')) {
    again = String(WriterLog.append(db, 's', 'w', 'charge').seq)
  }
  console.log(JSON.stringify({ said, again }))
  process.kill(process.pid, 'SIGKILL')
}
