#!/usr/bin/env node
/**
 * The command line: finds the command, and turns what it throws into one clear line and
 * an exit status.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { ChainBrokenError, StoreError } from '../index.ts'
import { append } from './append.ts'
import { type Command, FoundFault, helpOf, parse, takeStore, UsageError } from './command.ts'
import { demo } from './demo.ts'
import { generations } from './generation.ts'
import { heads, streams } from './heads.ts'
import { info } from './info.ts'
import { log } from './log.ts'
import { meshes } from './mesh.ts'
import { migrate } from './migrate.ts'
import { Output } from './output.ts'
import { tail } from './tail.ts'
import { exportCommand, importCommand } from './transfer.ts'
import { verify } from './verify.ts'

const COMMANDS: Readonly<Record<string, Command>> = {
  demo,
  append,
  log,
  tail,
  heads,
  streams,
  verify,
  ...grouped('generation', generations),
  import: importCommand,
  export: exportCommand,
  info,
  migrate,
  ...grouped('mesh', meshes),
}
/** Commands of two words. */
const GROUPS = ['generation', 'mesh']

function grouped(
  group: string,
  actions: Readonly<Record<string, Command>>,
): Record<string, Command> {
  return Object.fromEntries(
    Object.entries(actions).map(([action, command]) => [`${group} ${action}`, command]),
  )
}

const EXIT = { done: 0, fault: 1, usage: 2, failed: 3 } as const

function overview(only = ''): string {
  const names = Object.keys(COMMANDS).filter((name) => name.startsWith(only))
  const width = Math.max(...names.map((name) => name.length))
  return [
    'agent-store <command> [store] …\n',
    'A causal-ordered, tamper-evident, synchronous store for fleets of agents.\n',
    'Commands:',
    ...names.map((name) => `  ${name.padEnd(width)}  ${COMMANDS[name]?.summary}`),
    '\nThe store is a file or a postgres:// URL; where it is left out, AGENT_STORE names it.',
    'agent-store <command> --help tells more; --version tells which one this is.\n',
    'Exit status: 0 done, 1 the data has a fault, 2 wrong usage, 3 the store failed.',
  ].join('\n')
}

async function main(argv: readonly string[], out: Output): Promise<void> {
  const [first, second] = argv
  if (first === '--version') {
    const file = new URL('../../package.json', import.meta.url)
    out.line(JSON.parse(readFileSync(file, 'utf8')).version)
    return
  }
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    out.line(overview())
    return
  }
  const isGroup = GROUPS.includes(first)
  if (isGroup && (second === undefined || second === '--help' || second === '-h')) {
    out.line(overview(`${first} `))
    return
  }
  const name = isGroup ? `${first} ${second}` : first
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    throw new UsageError(
      `no command ${JSON.stringify(name)}; there are ${Object.keys(COMMANDS).join(', ')}`,
    )
  }
  const { values, positionals } = parse(name, command, argv.slice(isGroup ? 2 : 1))
  if (values.help) {
    out.line(helpOf(name, command))
    return
  }
  const option = values.store
  const { store, args } = takeStore(
    name,
    command,
    positionals,
    typeof option === 'string' ? option : undefined,
  )
  const options: Record<string, string | boolean | undefined> = {}
  const lists: Record<string, string[]> = {}
  for (const [key, value] of Object.entries(values)) {
    if (Array.isArray(value)) lists[key] = value.map(String)
    else if (typeof value === 'string' || typeof value === 'boolean') options[key] = value
  }
  await command.run({ store, args, options, lists, out })
}

function statusOf(error: unknown): number {
  if (error instanceof FoundFault || error instanceof ChainBrokenError) return EXIT.fault
  const isWrong =
    error instanceof UsageError || error instanceof TypeError || error instanceof RangeError
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return isWrong || code === 'ENOENT' || code === 'EISDIR' ? EXIT.usage : EXIT.failed
}

const out = new Output(1)
const argv = process.argv.slice(2)
try {
  await main(argv, out)
  out.flush()
} catch (error) {
  process.exitCode = statusOf(error)
  out.flush()
  const code = error instanceof StoreError ? ` [${error.code}]` : ''
  const message = error instanceof Error ? error.message : String(error)
  console.error(`agent-store: ${message}${code}`)
  if (argv.includes('--trace')) console.error(error)
}
