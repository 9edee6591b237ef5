/** `agent-store verify`: recompute the chain of one log, one stream, or all. @module */
import { type Backend, ChainBrokenError, MalformedRowError, WriterLog } from '../index.ts'
import { type Command, FoundFault, UsageError } from './command.ts'
import { count } from './output.ts'
import { ProgressBar } from './progress.ts'
import { hasLog, openForReading } from './store.ts'

export const verify: Command = {
  summary: 'Recompute the chain of one log, one stream or the whole store.',
  args: ['[stream]', '[writer]'],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': '{"ok":true,…} or {"ok":false,…} with the first bad entry' },
  notes:
    'Exit status 1 when an entry is missing, out of place or edited; the first one is named.\n' +
    'A cut tail cannot be seen without a pinned head: compare with `agent-store heads`.',
  run({ store, args: [stream, writer], options, out }) {
    using db = openForReading(store)
    const bar = new ProgressBar(
      process.stderr.isTTY === true && hasLog(db) ? total(db, stream, writer) : 0,
    )
    const onProgress = (entries: number) => bar.add(entries)
    try {
      const { logs, entries } = check(db, stream, writer, onProgress)
      bar.clear()
      if (options.json) out.line(JSON.stringify({ ok: true, logs, entries: String(entries) }))
      else
        out.line(
          `ok: ${count(entries)} entries in ${count(logs)} logs, every hash and link as it must be`,
        )
    } catch (error) {
      bar.clear()
      if (!(error instanceof ChainBrokenError || error instanceof MalformedRowError)) throw error
      if (options.json) {
        const { code, message } = error
        const where = error instanceof ChainBrokenError ? pointer(error) : {}
        out.line(JSON.stringify({ ok: false, code, ...where, message }))
      }
      throw new FoundFault(error.message, { cause: error })
    }
  },
}

function pointer({ stream, writer, seq, detail }: ChainBrokenError) {
  return { stream, writer, seq: String(seq), detail }
}

function check(
  db: Backend,
  stream: string | undefined,
  writer: string | undefined,
  onProgress: (entries: number) => void,
): { logs: number; entries: bigint } {
  if (!hasLog(db)) return { logs: 0, entries: 0n }
  if (stream === undefined) return WriterLog.verifyAll(db, { onProgress })
  if (writer === undefined) {
    const heads = WriterLog.verifyStream(db, stream, { onProgress })
    if (heads.length === 0) {
      throw new UsageError(`there is no stream ${JSON.stringify(stream)} to verify`)
    }
    return { logs: heads.length, entries: heads.reduce((sum, { seq }) => sum + seq, 0n) }
  }
  const head = WriterLog.verify(db, stream, writer, { onProgress })
  if (head === null) {
    throw new UsageError(
      `stream ${JSON.stringify(stream)} has no writer ${JSON.stringify(writer)} to verify`,
    )
  }
  return { logs: 1, entries: head.seq }
}

function total(db: Backend, stream: string | undefined, writer: string | undefined): number {
  const params = [stream, writer].filter((name) => name !== undefined)
  const where = ['true', 'stream = ?', 'stream = ? AND writer = ?'][params.length]
  return Number(db.query(`SELECT count(*) FROM _agent_store_log WHERE ${where}`, params)[0]?.[0])
}
