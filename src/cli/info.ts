/** `agent-store info`: what a store file is, how big, and whether SQLite finds it sound. @module */
import { statSync } from 'node:fs'
import { Generation, WriterLog } from '../index.ts'
import { type Command, FoundFault } from './command.ts'
import { count, size } from './output.ts'
import { hasCounters, hasLog, openForReading } from './store.ts'

export const info: Command = {
  summary: 'Show file, modes, sizes and counts, and let SQLite check the file.',
  args: [],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'the same as one JSON object' },
  notes: 'Exit status 1 when the integrity check finds damage. `verify` checks the chain itself.',
  run({ store, options, out }) {
    using db = openForReading(store)
    const path = String(db.path)
    const streams = hasLog(db) ? WriterLog.streams(db) : []
    const heads = streams.flatMap((stream) => WriterLog.heads(db, stream))
    const entries = hasLog(db) ? db.query('SELECT count(*) FROM _agent_store_log')[0]?.[0] : 0n
    const problems = db.query('PRAGMA integrity_check(10)').map(([problem]) => String(problem))
    const found = {
      file: path,
      journalMode: db.journalMode,
      durability: 'full',
      sqliteVersion: String(db.query('SELECT sqlite_version()')[0]?.[0]),
      fileBytes: bytesOf(path),
      walBytes: bytesOf(`${path}-wal`),
      streams: streams.length,
      logs: heads.length,
      entries: String(entries),
      counters: hasCounters(db) ? Generation.list(db).length : 0,
      integrity: problems.join('; '),
    }
    if (options.json) out.line(JSON.stringify(found))
    else {
      const rows = {
        file: found.file,
        'journal mode': found.journalMode,
        durability: 'full: what this command line acknowledges is on disk',
        SQLite: found.sqliteVersion,
        size: `${size(found.fileBytes)}, and ${size(found.walBytes)} in the write-ahead log`,
        log: `${count(found.streams)} streams, ${count(found.logs)} logs, ${count(BigInt(found.entries))} entries`,
        counters: count(found.counters),
        integrity: found.integrity,
      }
      for (const [label, value] of Object.entries(rows)) out.line(`${label.padEnd(14)}${value}`)
    }
    if (found.integrity !== 'ok') throw new FoundFault(`the file is damaged: ${found.integrity}`)
  },
}

function bytesOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
