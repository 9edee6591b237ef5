/** `agent-store log`: the entries of a log, or of every log of a stream. @module */
import { type Entry, entryToJson, type ReadOptions, WriterLog } from '../index.ts'
import { type Command, integerOption, UsageError } from './command.ts'
import { count, type Output, preview, printableName } from './output.ts'
import { hasLog, openForReading, tellIfAbsent } from './store.ts'

export const log: Command = {
  summary: 'Show the entries of a stream, writer by writer, or of one writer.',
  args: ['<stream>', '[writer]'],
  options: {
    json: { type: 'boolean' },
    after: { type: 'string' },
    limit: { type: 'string' },
    tail: { type: 'string' },
  },
  optionHelp: {
    '--after SEQ': 'only entries past this one (of each writer)',
    '--limit N': 'at most N entries (of each writer)',
    '--tail N': 'only the last N entries (of each writer)',
    '--json': 'one JSON object a line: integers as strings, hashes in hex, payloads in base64',
  },
  run({ store, args: [stream = '', writer], options, out }) {
    const { after, limit, tail } = options
    if (tail !== undefined && limit !== undefined)
      throw new UsageError('--tail and --limit exclude each other')
    const most = integerOption(tail ?? limit, tail === undefined ? '--limit' : '--tail')
    const from = integerOption(after, '--after')
    const read: ReadOptions = {
      ...(from === undefined ? {} : { after: from }),
      ...(most === undefined ? {} : { limit: Number(most) }),
    }
    using db = openForReading(store)
    if (!hasLog(db)) return
    tellIfAbsent(db, stream, writer)
    const writers = writer === undefined ? WriterLog.writers(db, stream) : [writer]
    const entries = (function* () {
      for (const name of writers) {
        if (tail === undefined) yield* WriterLog.read(db, stream, name, read)
        else yield* WriterLog.entries(db, stream, name, { ...read, reverse: true }).reverse()
      }
    })()
    if (options.json) for (const entry of entries) out.line(JSON.stringify(entryToJson(entry)))
    else show(out, entries)
  },
}

const ROWS_AT_ONCE = 200

function show(out: Output, entries: Iterable<Entry>): void {
  // What is not a terminal has room for all of it.
  const columns = process.stdout.columns ?? Number.POSITIVE_INFINITY
  let rows: string[][] = []
  const flush = () => {
    if (rows.length > 0) out.table(['writer', 'seq', 'hash', 'bytes', 'payload'], rows)
    rows = []
  }
  for (const { writer, seq, contentHash, payload } of entries) {
    const hash = Buffer.from(contentHash).toString('hex', 0, 6)
    const cells = [printableName(writer), String(seq), hash, count(payload.length)]
    const used = cells.join('  ').length + 8
    rows.push([...cells, preview(payload, Math.max(columns - used, 24))])
    if (rows.length === ROWS_AT_ONCE) flush()
  }
  flush()
}
