/** `agent-store verify`: recompute the chain of one log, one stream, or all. @module */
import { type Backend, ChainBrokenError, MalformedRowError, WriterLog } from '../index.ts'
import { type Command, FoundFault, UsageError } from './command.ts'
import { counted } from './output.ts'
import { ProgressBar } from './progress.ts'
import { hasLog, openForReading } from './store.ts'

export const verify: Command = {
  summary: 'Recompute the chain of one log, one stream or the whole store.',
  args: ['[stream]', '[writer]'],
  options: { json: { type: 'boolean' } },
  optionHelp: {
    '--json':
      '{"ok":true,…}, or a line {"ok":false,…} for each broken log with its first bad entry',
  },
  notes:
    'Exit status 1 when an entry is missing, out of place or edited; the first one of each log is\n' +
    'named. A cut tail cannot be seen without a pinned head: compare with `agent-store heads`.',
  run({ store, args: [stream, writer], options, out }) {
    using db = openForReading(store)
    const bar = new ProgressBar(
      process.stderr.isTTY === true && hasLog(db) ? total(db, stream, writer) : 0,
    )
    const broken: Fault[] = []
    let [logs, entries] = [0, 0n]
    try {
      for (const [inStream, by] of logsOf(db, stream, writer)) {
        logs++
        try {
          const head = WriterLog.verify(db, inStream, by, { onProgress: (more) => bar.add(more) })
          entries += head?.seq ?? 0n
        } catch (error) {
          if (!(error instanceof ChainBrokenError || error instanceof MalformedRowError))
            throw error
          broken.push(error)
        }
      }
    } catch (error) {
      // A name that is none: what logs there are cannot be told.
      if (!(error instanceof MalformedRowError)) throw error
      broken.push(error)
    } finally {
      bar.clear()
    }
    if (broken.length === 0) {
      if (options.json) out.line(JSON.stringify({ ok: true, logs, entries: String(entries) }))
      else {
        const found = `${counted(entries, 'entry', 'entries')} in ${counted(logs, 'log')}`
        out.line(`ok: ${found}, every hash and link as it must be`)
      }
      return
    }
    if (options.json) for (const fault of broken) out.line(JSON.stringify(toJson(fault)))
    const [only, ...others] = broken
    if (others.length === 0) throw new FoundFault(only?.message, { cause: only })
    for (const { message } of broken) console.error(`agent-store: ${message}`)
    throw new FoundFault(`${broken.length} of ${counted(logs, 'log')} are broken`, {
      cause: new AggregateError(broken),
    })
  },
}

type Fault = ChainBrokenError | MalformedRowError

function toJson(fault: Fault): object {
  const { code, message } = fault
  if (!(fault instanceof ChainBrokenError)) return { ok: false, code, message }
  const { stream, writer, seq, detail } = fault
  return { ok: false, code, stream, writer, seq: String(seq), detail, message }
}

/** The logs that are meant. @throws UsageError where there is none. */
function* logsOf(
  db: Backend,
  stream: string | undefined,
  writer: string | undefined,
): Generator<readonly [stream: string, writer: string]> {
  if (!hasLog(db)) return
  for (const each of stream === undefined ? WriterLog.streams(db) : [stream]) {
    const writers = WriterLog.writers(db, each)
    if (writers.length === 0) throw new UsageError(`there is no stream ${JSON.stringify(each)}`)
    if (writer === undefined) for (const by of writers) yield [each, by]
    else if (writers.includes(writer)) yield [each, writer]
    else {
      throw new UsageError(`stream ${JSON.stringify(each)} has no writer ${JSON.stringify(writer)}`)
    }
  }
}

function total(db: Backend, stream: string | undefined, writer: string | undefined): number {
  const params = [stream, writer].filter((name) => name !== undefined)
  const where = ['true', 'stream = ?', 'stream = ? AND writer = ?'][params.length]
  return Number(db.query(`SELECT count(*) FROM _agent_store_log WHERE ${where}`, params)[0]?.[0])
}
