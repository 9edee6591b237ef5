/**
 * `agent-store export` and `agent-store import`: entries as JSON lines.
 *
 * A payload that is UTF-8 stands as text in `payload`, any other as base64 in
 * `payloadBase64`. Import also takes `payload` as any JSON value (stored as JSON text),
 * and where a line carries `seq` or `contentHash` it must come out the same. JSON values are
 * stored as `JSON.stringify` writes them, so numbers are those of JavaScript.
 *
 * @module
 */

import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { sameBytes } from '#shared'
import { type Backend, commitEventToJson, type Entry, WriterLog } from '../index.ts'
import { type Command, FoundFault, messageOf, UsageError } from './command.ts'
import { linesOf, lookInto, spooledInput } from './input.ts'
import { asText, counted, Output } from './output.ts'
import { hasCounters, hasLog, openForReading, openForWriting, tellIfAbsent } from './store.ts'

export const exportCommand: Command = {
  summary: 'Print entries as JSON lines that import takes back byte for byte.',
  args: ['[stream]', '[writer]'],
  options: { output: { type: 'string', short: 'o' } },
  optionHelp: { '-o, --output FILE': 'write to a new file instead of standard output' },
  notes:
    'Entries alone: counters are carried over by `generation get --json` and `generation set`.',
  run({ store, args: [onlyStream, onlyWriter], options, out }) {
    using db = openForReading(store)
    tellOfCounters(db)
    if (!hasLog(db)) return
    if (onlyStream !== undefined) tellIfAbsent(db, onlyStream, onlyWriter)
    const { output } = options
    const isFile = typeof output === 'string'
    if (isFile && existsSync(output))
      throw new UsageError(`${JSON.stringify(output)} exists already`)
    // Under its own name only when it is whole.
    const partial = `${String(output)}.partial`
    const fd = isFile ? openSync(partial, 'w') : undefined
    const to = fd === undefined ? out : new Output(fd)
    try {
      for (const stream of onlyStream === undefined ? WriterLog.streams(db) : [onlyStream]) {
        for (const writer of onlyWriter === undefined
          ? WriterLog.writers(db, stream)
          : [onlyWriter]) {
          for (const entry of WriterLog.read(db, stream, writer)) {
            const text = asText(entry.payload)
            const payload =
              text === undefined
                ? { payloadBase64: Buffer.from(entry.payload).toString('base64') }
                : { payload: text }
            to.line(JSON.stringify({ ...commitEventToJson(entry), ...payload }))
          }
        }
      }
      to.flush()
      if (fd !== undefined) fsyncSync(fd)
      if (isFile) renameSync(partial, output)
    } catch (error) {
      if (isFile) rmSync(partial, { force: true })
      throw error
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  },
}

export const importCommand: Command = {
  summary: 'Append JSON lines; all of them, or nothing when one is bad.',
  args: ['<file>'],
  options: {
    'stream-field': { type: 'string', default: 'stream' },
    'writer-field': { type: 'string', default: 'writer' },
    'payload-field': { type: 'string', default: 'payload' },
    'keep-going': { type: 'boolean' },
    json: { type: 'boolean' },
  },
  optionHelp: {
    '--stream-field NAME': "the field with the stream's name (default: stream)",
    '--writer-field NAME': "the field with the writer's name (default: writer)",
    '--payload-field NAME':
      'the field with the payload: text, or any JSON value (default: payload)',
    '--keep-going': 'store the good lines even when some are bad (exit status 1 all the same)',
    '--json': 'print what was done as JSON',
  },
  notes:
    'The file - is standard input. A line that carries seq and contentHash, as export prints\n' +
    'them, must get that place; one that is already there is left alone.',
  run({ store, args: [file = '-'], options, out }) {
    const fields = {
      stream: String(options['stream-field']),
      writer: String(options['writer-field']),
      payload: String(options['payload-field']),
    }
    // Nobody is to wait for the lock while a pipe is slow.
    using input = file === '-' ? spooledInput() : undefined
    // No store is made for a file that is not there.
    lookInto(linesOf(input?.file ?? file))
    using db = openForWriting(store)
    const done = { imported: 0, present: 0, bad: 0 }
    const problems = new Output(2)
    try {
      db.transaction(() => {
        for (const { number, bytes } of linesOf(input?.file ?? file)) {
          try {
            const isNew = db.transaction(() => importLine(db, bytes, fields))
            done[isNew ? 'imported' : 'present']++
          } catch (error) {
            if (
              !(
                error instanceof BadLine ||
                error instanceof TypeError ||
                error instanceof RangeError
              )
            )
              throw error
            done.bad++
            problems.line(`${file}:${number}: ${error.message}`)
          }
        }
        if (done.bad > 0 && options['keep-going'] !== true) {
          throw new FoundFault(
            `${counted(done.bad, 'bad line')}; nothing was stored (--keep-going stores the others)`,
          )
        }
      })
    } catch (error) {
      done.imported = 0 // rolled back
      throw error
    } finally {
      problems.flush()
      if (options.json) out.line(JSON.stringify(done))
    }
    if (!options.json) {
      out.line(
        `${counted(done.imported, 'entry', 'entries')} appended, ${counted(done.present, 'was', 'were')} there already`,
      )
    }
    if (done.bad > 0) throw new FoundFault(`${counted(done.bad, 'bad line')} left out`)
  },
}

/** Who moves a store is to know what stays behind, lest a counter gives out a value once more. */
function tellOfCounters(db: Backend): void {
  if (!hasCounters(db)) return
  const counters = Number(db.query('SELECT count(*) FROM _agent_store_meta')[0]?.[0])
  if (counters === 0) return
  console.error(
    `agent-store: ${counted(counters, 'counter is', 'counters are')} not exported; ` +
      'see `generation get` and `generation set`',
  )
}

class BadLine extends Error {}

function importLine(
  db: Backend,
  bytes: Uint8Array,
  fields: { stream: string; writer: string; payload: string },
): boolean {
  const line = parseLine(bytes)
  const stream = nameIn(line, fields.stream)
  const writer = nameIn(line, fields.writer)
  const payload = payloadIn(line, fields.payload)
  const { seq, contentHash } = line
  const stored = typeof seq === 'string' ? storedAt(db, stream, writer, seq) : null
  if (stored !== null) {
    if (contentHash !== undefined && commitEventToJson(stored).contentHash !== contentHash) {
      throw new BadLine(`seq ${seq} of this log is there already, with another hash`)
    }
    if (!sameBytes(stored.payload, Buffer.from(payload))) {
      throw new BadLine(`seq ${seq} of this log is there already, with another payload`)
    }
    return false
  }
  const entry = commitEventToJson(WriterLog.append(db, stream, writer, payload))
  if (seq !== undefined && entry.seq !== seq) {
    throw new BadLine(`would become seq ${entry.seq}, the line says ${JSON.stringify(seq)}`)
  }
  if (contentHash !== undefined && entry.contentHash !== contentHash) {
    throw new BadLine('contentHash does not match payload and log')
  }
  return true
}

function storedAt(db: Backend, stream: string, writer: string, seq: string): Entry | null {
  if (!/^[1-9][0-9]{0,18}$/.test(seq)) return null
  return WriterLog.entry(db, stream, writer, BigInt(seq))
}

function parseLine(bytes: Uint8Array): Record<string, unknown> {
  const text = asText(bytes)
  if (text === undefined) throw new BadLine('not UTF-8')
  if (text.startsWith('\ufeff')) throw new BadLine('starts with a byte-order mark; remove it')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new BadLine(`not JSON: ${messageOf(error)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BadLine('not a JSON object')
  }
  return value as Record<string, unknown>
}

function nameIn(line: Record<string, unknown>, field: string): string {
  const value = Object.hasOwn(line, field) ? line[field] : undefined
  if (typeof value === 'string') return value
  throw new BadLine(
    `field ${JSON.stringify(field)} must be text, got ${value === undefined ? 'nothing' : JSON.stringify(value)}`,
  )
}

function payloadIn(line: Record<string, unknown>, field: string): string | Uint8Array {
  const value = Object.hasOwn(line, field) ? line[field] : undefined
  if (typeof value === 'string') return value
  if (value !== undefined) return JSON.stringify(value)
  const { payloadBase64 } = line
  if (typeof payloadBase64 === 'string') {
    const bytes = Buffer.from(payloadBase64, 'base64')
    if (bytes.toString('base64') === payloadBase64) return bytes
    throw new BadLine('payloadBase64 is not base64')
  }
  throw new BadLine(`field ${JSON.stringify(field)} is missing`)
}
