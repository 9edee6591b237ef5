/**
 * A process that appends without pause, whatever happens to its servers, until it is killed.
 *
 * What it hears it writes to a file, a line each, so that a SIGKILL loses none and nobody who
 * is busy holds it up: `stored WRITER SEQ HASH NUMBER MS` for an append that was acknowledged,
 * `failed CODE MESSAGE` for an error, unless the one before said the same.
 *
 * @module
 */
import { openSync, writeSync } from 'node:fs'
import { ConnectionError, DeadlineError, InDoubtError, WriterLog } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'

export interface ClientTask {
  readonly options: PgOptions
  readonly writer: string
  /** Marks this client's payloads: `label 1`, `label 2`, … */
  readonly label: string
  /** The file that it writes to. */
  readonly journal: string
}

/** The stream that all of them write to. */
export const STREAM = 'failover'

function perform({ options, writer, label, journal }: ClientTask): void {
  const file = openSync(journal, 'a')
  const say = (line: string) => void writeSync(file, `${line}\n`)
  using db = PgBackend.connect(options)
  let said = ''
  for (let number = 1; ; ) {
    try {
      const { seq, contentHash } = WriterLog.append(db, STREAM, writer, `${label} ${number}`)
      const nowMs = performance.timeOrigin + performance.now()
      say(`stored ${writer} ${seq} ${Buffer.from(contentHash).toString('hex')} ${number} ${nowMs}`)
      said = ''
      number++
    } catch (error) {
      const isOutage =
        error instanceof ConnectionError ||
        error instanceof InDoubtError ||
        error instanceof DeadlineError
      if (!isOutage) throw error
      const line = `failed ${error.code} ${error.message}`
      if (line !== said) say(line)
      said = line
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

const [, script, task] = process.argv
if (script === import.meta.filename && task !== undefined) perform(JSON.parse(task) as ClientTask)
