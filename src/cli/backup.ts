/** `agent-store backup` and `agent-store restore`: a store as one file, checked on both ways. @module */

import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { sameBytes } from '#shared'
import {
  type CommitEventJson,
  commitEventFromJson,
  commitEventToJson,
  type LogHead,
  SqliteBackend,
  WriterLog,
} from '../index.ts'
import { checkTarget, placeFile } from '../sqlite/backup.ts'
import { type Command, FoundFault, UsageError } from './command.ts'
import { counted } from './output.ts'
import { hasLog, openForReading } from './store.ts'

/** The heads of a backup lie beside it under this ending. */
const HEADS = '.heads.json'

export const backup: Command = {
  summary: 'Copy a store into one file, beside writers: verified, flushed, its heads beside it.',
  args: ['<file>'],
  options: {},
  optionHelp: {},
  notes:
    `Nothing is written over. FILE${HEADS} holds the head of each log, one JSON object a line: keep it ` +
    'elsewhere, and restore compares with it. Of a server, use its own means (pg_dump, pg_basebackup).',
  run({ store, args: [file = ''], out }) {
    using db = openForReading(store)
    if (!(db instanceof SqliteBackend)) {
      throw new UsageError('backup copies a file; of a server, use pg_dump or pg_basebackup')
    }
    if (existsSync(`${file}${HEADS}`)) {
      throw new UsageError(`${file}${HEADS} is there already; name another file`)
    }
    let checked = { logs: 0, entries: 0n }
    let heads: readonly LogHead[] = []
    db.backup(file, (copy) => {
      if (!hasLog(copy)) return
      checked = WriterLog.verifyAll(copy)
      heads = headsOf(copy)
    })
    const lines = heads.map((head) => `${JSON.stringify(commitEventToJson(head))}\n`)
    writeFileSync(`${file}${HEADS}`, lines.join(''), { flag: 'wx', mode: 0o600 })
    out.line(
      `ok: ${counted(checked.logs, 'log')}, ${counted(checked.entries, 'entry', 'entries')} verified in the copy`,
    )
  },
}

export const restore: Command = {
  summary: 'Make a new store of a backup; what is there is never written over.',
  args: ['<file>', '<store>'],
  takesStore: false,
  options: { heads: { type: 'string' } },
  optionHelp: {
    '--heads': `compare with the heads in this file (default: FILE${HEADS}, where it is)`,
  },
  notes: 'Exit status 1 when the backup is damaged, or lacks what its heads name.',
  run({ args: [file = '', store = ''], options, out }) {
    if (existsSync(`${file}-wal`)) {
      throw new UsageError(
        `${file} is open, or was copied by hand (${file}-wal lies beside it); make a backup by agent-store backup`,
      )
    }
    const named = typeof options.heads === 'string' ? options.heads : undefined
    const pinned = readHeads(named ?? `${file}${HEADS}`, named !== undefined)
    let said = ''
    placeFile(
      checkTarget(store),
      (made) => copyFileSync(file, made),
      (made) => {
        said = checkCopy(made, pinned)
      },
    )
    out.line(`ok: ${said}`)
  },
}

/** Returns what was checked. @throws FoundFault when the copy is damaged, or lacks a pinned head. */
function checkCopy(made: string, pinned: readonly LogHead[] | undefined): string {
  using db = openForReading(made)
  const problems = db.query('PRAGMA integrity_check(1)').join()
  if (problems !== 'ok') throw new FoundFault(`the backup is damaged: ${problems}`)
  const { logs, entries } = hasLog(db) ? WriterLog.verifyAll(db) : { logs: 0, entries: 0n }
  const verified = `${counted(logs, 'log')}, ${counted(entries, 'entry', 'entries')} verified`
  if (pinned === undefined) return `${verified}; there are no heads to compare with`
  for (const { stream, writer, seq, contentHash } of pinned) {
    const stored = WriterLog.entry(db, stream, writer, seq)
    if (stored === null || !sameBytes(stored.contentHash, contentHash)) {
      throw new FoundFault(
        `the backup has ${stored === null ? 'no entry' : 'another entry'} at stream ${JSON.stringify(stream)} ` +
          `writer ${JSON.stringify(writer)} seq ${seq}, which its heads name`,
      )
    }
  }
  return `${verified}, and compared with ${counted(pinned.length, 'head')}`
}

function readHeads(file: string, isAsked: boolean): LogHead[] | undefined {
  if (!isAsked && !existsSync(file)) return undefined
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line): LogHead => commitEventFromJson(JSON.parse(line) as CommitEventJson))
}

function headsOf(db: SqliteBackend): LogHead[] {
  return WriterLog.streams(db).flatMap((stream) => WriterLog.heads(db, stream))
}
