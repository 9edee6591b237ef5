/**
 * The command line: finds the command, and turns what it throws into one clear line and
 * an exit status.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { ChainBrokenError, StoreError } from '../index.ts'
import { FoundFault, helpOf, messageOf, parse, takeStore, UsageError } from './command.ts'
import { COMMANDS, GROUPS } from './commands.ts'
import { Output } from './output.ts'

const EXIT = { done: 0, fault: 1, usage: 2, failed: 3 } as const

async function overview(only = ''): Promise<string> {
  const names = Object.keys(COMMANDS).filter((name) => name.startsWith(only))
  const width = Math.max(...names.map((name) => name.length))
  const summaries = await Promise.all(
    names.map(async (name) => `  ${name.padEnd(width)}  ${(await COMMANDS[name]?.())?.summary}`),
  )
  return [
    'agent-store <command> [store] …\n',
    'A causal-ordered, tamper-evident, synchronous store for fleets of agents.\n',
    'Commands:',
    ...summaries,
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
  if (
    first === undefined ||
    first === '--help' ||
    first === '-h' ||
    (first === 'help' && second === undefined)
  ) {
    out.line(await overview())
    return
  }
  if (first === 'help' && second !== undefined) {
    await main([...argv.slice(1), '--help'], out)
    return
  }
  const isGroup = GROUPS.includes(first)
  if (isGroup && (second === undefined || second === '--help' || second === '-h')) {
    out.line(await overview(`${first} `))
    return
  }
  const name = isGroup ? `${first} ${second}` : first
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (load === undefined) {
    throw new UsageError(
      `no command ${JSON.stringify(name)}; there are ${Object.keys(COMMANDS).join(', ')}`,
    )
  }
  const command = await load()
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
  console.error(`agent-store: ${messageOf(error)}${code}`)
  if (argv.includes('--trace')) console.error(error)
}
