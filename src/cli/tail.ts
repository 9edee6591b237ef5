/** `agent-store tail`: what is committed, as it is committed. @module */
import { follow, headsOf, type Selection } from '../follow/index.ts'
import {
  type Backend,
  type Entry,
  entryToJson,
  type LogHead,
  SchemaError,
  WriterLog,
} from '../index.ts'
import { type Command, integerOption, UsageError } from './command.ts'
import { dim, type Output, preview, printableName } from './output.ts'
import { hasLog, openForReading } from './store.ts'

const LINES = 10n
const MOST_POLL_MS = 2n ** 31n - 1n

export const tail: Command = {
  summary: 'Show the last entries, and then each one as it is committed.',
  args: ['[stream]', '[writer]'],
  options: {
    json: { type: 'boolean' },
    lines: { type: 'string', short: 'n' },
    all: { type: 'boolean' },
    count: { type: 'string' },
    verify: { type: 'boolean' },
    poll: { type: 'string' },
  },
  optionHelp: {
    '-n, --lines N': 'begin with the last N entries of each writer (default 10)',
    '--all': 'begin with the first entry',
    '--count N': 'end after N entries; else it ends when it is interrupted',
    '--verify': 'recompute the chain as it goes',
    '--poll MS': 'look this often where no bell rings, in milliseconds (default 1000)',
    '--json': 'one JSON object a line: integers as strings, hashes in hex, payloads in base64',
  },
  notes:
    "Of the whole store where no stream is named. Each writer's entries come in their order.\n" +
    'A server wakes it where those who append say notify; a file wakes it by itself.',
  async run({ store, args: [stream, writer], options, out }) {
    if (options.all && options.lines !== undefined) {
      throw new UsageError('--all and --lines exclude each other')
    }
    const lines = integerOption(options.lines, '--lines') ?? LINES
    const pollMs = integerOption(options.poll, '--poll') ?? 1_000n
    if (pollMs < 1n || pollMs > MOST_POLL_MS) {
      throw new UsageError(`--poll must be from 1 to ${MOST_POLL_MS}, got ${pollMs}`)
    }
    let left = integerOption(options.count, '--count')
    using db = openForReading(store, { reconnect: true })
    if (!hasLog(db)) throw new SchemaError('the store has no log yet; append to it first')
    const selection: Selection = {
      ...(stream === undefined ? {} : { stream }),
      ...(writer === undefined ? {} : { writer }),
    }
    const show = options.json ? showJson(out) : showLine(out, stream === undefined)
    const entries = follow(db, {
      ...selection,
      after: options.all ? [] : startOf(db, selection, lines),
      verify: options.verify === true,
      pollMs: Number(pollMs),
      onInterrupted: ({ message }) => process.stderr.write(`agent-store: ${message}\n`),
    })
    if (left === 0n) return
    for await (const entry of entries) {
      show(entry)
      out.flush()
      if (left !== undefined && --left === 0n) break
    }
  },
}

/** Where to begin, so that the last `lines` entries of each log come first. */
function startOf(db: Backend, selection: Selection, lines: bigint): LogHead[] {
  return headsOf(db, selection).flatMap((head) => {
    if (lines === 0n) return head
    const { stream, writer, seq } = head
    if (seq <= lines) return []
    return WriterLog.entry(db, stream, writer, seq - lines) ?? head
  })
}

function showJson(out: Output): (entry: Entry) => void {
  return (entry) => out.line(JSON.stringify(entryToJson(entry)))
}

/** Columns cannot be as wide as what is still to come: they grow with what has come. */
function showLine(out: Output, withStream: boolean): (entry: Entry) => void {
  let width = 0
  return ({ stream, writer, seq, contentHash, payload }) => {
    const name = withStream
      ? `${printableName(stream)}  ${printableName(writer)}`
      : printableName(writer)
    const place = `${name}  ${seq}`
    width = Math.max(width, place.length)
    const hash = Buffer.from(contentHash).toString('hex', 0, 6)
    const columns = process.stdout.columns ?? Number.POSITIVE_INFINITY
    const text = preview(payload, Math.max(columns - width - hash.length - 4, 24))
    out.line(`${place.padEnd(width)}  ${dim(hash)}  ${text}`)
  }
}
