/** `agent-store generation`: read and move named counters. @module */
import { Generation } from '../index.ts'
import { type Command, UsageError } from './command.ts'
import { printableName } from './output.ts'
import { hasCounters, openForReading, openForWriting } from './store.ts'

export const get: Command = {
  summary: 'Show a counter (0 for one that was never moved), or all of them.',
  args: ['[key]'],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'one JSON object a line, values as strings' },
  run({ store, args: [key], options, out }) {
    using db = openForReading(store)
    const known = hasCounters(db) ? Generation.list(db) : []
    const found =
      key === undefined ? known : [known.find((c) => c.key === key) ?? { key, value: 0n }]
    if (options.json) {
      for (const { key, value } of found) out.line(JSON.stringify({ key, value: String(value) }))
    } else if (key !== undefined) out.line(String(found[0]?.value))
    else {
      out.table(
        ['counter', 'value'],
        found.map(({ key, value }) => [printableName(key), String(value)]),
      )
    }
  },
}

export const bump: Command = {
  summary: 'Add one to a counter and show the new value, which nobody else is given.',
  args: ['<key>'],
  options: {},
  optionHelp: {},
  run({ store, args: [key = ''], out }) {
    using db = openForWriting(store)
    out.line(String(new Generation(key).bump(db)))
  },
}

export const set: Command = {
  summary: 'Move a counter forward to a value. Going back is refused.',
  args: ['<key>', '<value>'],
  options: {},
  optionHelp: {},
  run({ store, args: [key = '', value = ''], out }) {
    if (!/^[0-9]+$/.test(value)) {
      throw new UsageError(`value must be a whole number, got ${JSON.stringify(value)}`)
    }
    using db = openForWriting(store)
    new Generation(key).set(db, BigInt(value))
    out.line(value)
  },
}
