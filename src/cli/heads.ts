/** `agent-store heads` and `agent-store streams`: what is in a store. @module */
import { commitEventToJson, WriterLog } from '../index.ts'
import type { Command } from './command.ts'
import { count, printableName } from './output.ts'
import { hasLog, openForReading, tellIfAbsent } from './store.ts'

export const heads: Command = {
  summary: 'Show how far each log reaches: (seq, hash), the pair to pin elsewhere.',
  args: ['[stream]'],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'one JSON object a line' },
  run({ store, args: [only], options, out }) {
    using db = openForReading(store)
    if (!hasLog(db)) return
    if (only !== undefined) tellIfAbsent(db, only)
    const found = (only === undefined ? WriterLog.streams(db) : [only]).flatMap((stream) =>
      WriterLog.heads(db, stream).map(commitEventToJson),
    )
    if (options.json) for (const head of found) out.line(JSON.stringify(head))
    else {
      out.table(
        ['stream', 'writer', 'seq', 'hash'],
        found.map((h) => [printableName(h.stream), printableName(h.writer), h.seq, h.contentHash]),
      )
    }
  },
}

export const streams: Command = {
  summary: 'List the streams, with the number of writers and entries of each.',
  args: ['[prefix]'],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'one JSON object a line' },
  run({ store, args: [prefix = ''], options, out }) {
    using db = openForReading(store)
    if (!hasLog(db)) return
    const found = WriterLog.streams(db, { prefix }).map((stream) => {
      const logs = WriterLog.heads(db, stream)
      return { stream, writers: logs.length, entries: logs.reduce((sum, { seq }) => sum + seq, 0n) }
    })
    if (options.json) {
      for (const row of found) out.line(JSON.stringify({ ...row, entries: String(row.entries) }))
    } else {
      out.table(
        ['stream', 'writers', 'entries'],
        found.map((row) => [printableName(row.stream), count(row.writers), count(row.entries)]),
      )
    }
  },
}
