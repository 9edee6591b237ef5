/**
 * One agent process of the demo: appends its share of the turns and acknowledges each on
 * standard output once the append has returned.
 *
 * Arguments: store, turns, its number, the number of agents, and for the one that is to
 * be killed the name under which it writes, for ever.
 *
 * @module
 */
import { readFileSync, writeSync } from 'node:fs'
import { WriterLog } from '../../index.ts'
import { openStore } from '../../postgres/index.ts'

const [, , store = '', file = '', number = '0', agents = '1', doomed] = process.argv
const turns: { stream: string; writer: string; payload: unknown }[] = readFileSync(file, 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => JSON.parse(line))

using db = openStore(store)
do {
  for (const [i, { stream, writer, payload }] of turns.entries()) {
    if (i % Number(agents) !== Number(number)) continue
    const entry = WriterLog.append(
      db,
      doomed === undefined ? stream : `demo:${doomed}`,
      doomed ?? writer,
      typeof payload === 'string' ? payload : JSON.stringify(payload),
    )
    writeSync(1, `${entry.seq} ${Buffer.from(entry.contentHash).toString('hex')}\n`)
  }
} while (doomed !== undefined)
