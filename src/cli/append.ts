/** `agent-store append`: one entry from an argument, a file or standard input. @module */
import { commitEventToJson, WriterLog } from '../index.ts'
import { type Command, UsageError } from './command.ts'
import { readAll } from './input.ts'
import { printableName } from './output.ts'
import { openForWriting } from './store.ts'

export const append: Command = {
  summary: 'Append one entry; it is durable when the command returns.',
  args: ['<stream>', '<writer>', '[payload]'],
  options: { file: { type: 'string', short: 'f' }, json: { type: 'boolean' } },
  optionHelp: {
    '-f, --file FILE': 'read the payload from a file, byte for byte',
    '--json': 'print (stream, writer, seq, contentHash) as JSON',
  },
  notes: 'Without payload and --file, the payload is read from standard input.',
  run({ store, args: [stream = '', writer = '', text], options, out }) {
    if (text !== undefined && options.file !== undefined) {
      throw new UsageError('the payload is given twice: as an argument and by --file')
    }
    const payload = text ?? readAll(typeof options.file === 'string' ? options.file : '-')
    using db = openForWriting(store)
    const entry = WriterLog.append(db, stream, writer, payload)
    const pointer = commitEventToJson(entry)
    if (options.json) out.line(JSON.stringify(pointer))
    else {
      out.line(
        `${printableName(stream)} ${printableName(writer)} seq ${entry.seq} ${pointer.contentHash}`,
      )
    }
  },
}
