/** How the arguments of a command are told apart from the store that it is for. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Command, integerOption, parse, takeStore } from '../../src/cli/command.ts'
import { temporaryFolder } from '../support.ts'

const command: Command = {
  summary: 'Stands for any.',
  args: ['<stream>', '[writer]'],
  options: { json: { type: 'boolean' } },
  optionHelp: {},
  run: () => undefined,
}

/** What is taken for the store while `AGENT_STORE` is `preset`. */
function takerOf(t: TestContext, preset?: string) {
  const { AGENT_STORE: before } = process.env
  t.after(() => {
    if (before === undefined) delete process.env.AGENT_STORE
    else process.env.AGENT_STORE = before
  })
  if (preset === undefined) delete process.env.AGENT_STORE
  else process.env.AGENT_STORE = preset
  return (positionals: readonly string[], option?: string) =>
    takeStore('log', command, positionals, option)
}

test('the store comes first, unless --store or AGENT_STORE names it', (t) => {
  const without = takerOf(t)
  assert.deepEqual(without(['a.db', 's']), { store: 'a.db', args: ['s'] })
  assert.deepEqual(without(['s', 'w'], 'a.db'), { store: 'a.db', args: ['s', 'w'] })
  const preset = takerOf(t, 'b.db')
  assert.deepEqual(preset(['s', 'w']), { store: 'b.db', args: ['s', 'w'] })
  assert.deepEqual(preset(['a.db', 's', 'w']), { store: 'a.db', args: ['s', 'w'] })
  assert.deepEqual(preset(['s'], 'a.db'), { store: 'a.db', args: ['s'] })
})

test('a store without a name is none', (t) => {
  const take = takerOf(t)
  assert.throws(() => take(['s'], ''), /^Error: no store; usage: agent-store log \[store\]/)
  assert.throws(() => take(['', 's']), /no store/)
  assert.throws(() => take([]), /no store: name a file or a postgres:\/\/ URL, or set AGENT_STORE/)
})

test('what looks like a store is not taken for a stream, and its password is not shown', (t) => {
  const file = join(temporaryFolder(t), 'fleet')
  writeFileSync(file, '')
  const take = takerOf(t, 'postgres://me:s3cret@here/x')
  const meant = /looks like a store, but AGENT_STORE names "postgres:\/\/me:\*\*\*@here\/x"/
  assert.throws(() => take([file]), meant)
  assert.throws(() => take(['other.sqlite3']), meant)
  assert.throws(
    () => take(['postgresql://you:s3cret@there']),
    /say --store postgresql:\/\/you:\*\*\*@there,/,
  )
})

test('a command that needs no store takes no more than its own arguments', () => {
  const alone = { ...command, args: ['[stream]'], takesStore: false }
  assert.deepEqual(takeStore('mesh listen', alone, ['s'], undefined), { store: '', args: ['s'] })
  assert.throws(
    () => takeStore('mesh listen', alone, ['s', 'more'], undefined),
    /too many arguments; usage: agent-store mesh listen \[stream\] \[options\]/,
  )
})

test('an option is refused with the way to the help', () => {
  assert.throws(() => parse('log', command, ['--nothing']), /see agent-store log --help/)
  assert.throws(() => parse('log', command, ['--json=1']), /see agent-store log --help/)
  assert.equal(integerOption('12', '--limit'), 12n)
  assert.throws(() => integerOption('-1', '--limit'), /--limit must be a whole number, got "-1"/)
})
