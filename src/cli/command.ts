/**
 * What a command of the command line is: its help, its options, and how its arguments
 * are told apart from the store's name.
 *
 * @module
 */
import { statSync } from 'node:fs'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { isServerUrl } from '../postgres/index.ts'
import type { Output } from './output.ts'
import { shown } from './store.ts'

/** The command line was used wrongly: exit status 2. */
export class UsageError extends Error {}

/** A found fault of the data, reported already: exit status 1. */
export class FoundFault extends Error {}

/** What was thrown, in words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What a command is called with. */
interface Invocation {
  /** The store: a file, or the URL of a server. */
  readonly store: string
  /** The positional arguments after the store. */
  readonly args: readonly string[]
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** Options that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[]>>
  readonly out: Output
}

/** One command. */
export interface Command {
  readonly summary: string
  /** The arguments after the store, for the usage line: `<required>` and `[optional]`. */
  readonly args: readonly string[]
  /** False for a command that makes its own store, or needs none. */
  readonly takesStore?: boolean
  readonly options: ParseArgsOptionsConfig
  /** Help on each option, in the order in which it is shown. */
  readonly optionHelp: Readonly<Record<string, string>>
  readonly notes?: string
  run(invocation: Invocation): void | Promise<void>
}

const STORE_OPTIONS: ParseArgsOptionsConfig = {
  store: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  trace: { type: 'boolean' },
}

/** Parse what stands behind the command's name. @throws UsageError. */
export function parse(
  name: string,
  command: Command,
  argv: readonly string[],
): { values: Record<string, unknown>; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { ...STORE_OPTIONS, ...command.options },
      allowPositionals: true,
    })
    return { values, positionals }
  } catch (error) {
    // Node says at length, and with quotes of its own, how a text that begins with - is given.
    const [what = ''] = messageOf(error).split('. To specify a positional argument')
    const way = what.startsWith('Unknown option') ? '; a text that begins with - goes after --' : ''
    throw new UsageError(`${what}${way}; see agent-store ${name} --help`)
  }
}

/**
 * Which of the positionals is the store. `--store` wins; else it is the first one, unless
 * `AGENT_STORE` names it and there are too few of them to hold a store as well.
 * @throws UsageError when the number of arguments does not fit.
 */
export function takeStore(
  name: string,
  command: Command,
  positionals: readonly string[],
  option: string | undefined,
): { store: string; args: readonly string[] } {
  const most = command.args.length
  const least = command.args.filter((arg) => arg.startsWith('<')).length
  const preset = option ?? process.env.AGENT_STORE ?? ''
  const usage = `usage: ${usageLine(name, command)}`
  if (command.takesStore === false) {
    if (positionals.length > most) throw new UsageError(`too many arguments; ${usage}`)
    return { store: option ?? '', args: positionals }
  }
  const hasOwn = option === undefined && (preset === '' || positionals.length > most)
  const [first] = positionals
  if (hasOwn && first === undefined) {
    throw new UsageError(`no store: name a file or a postgres:// URL, or set AGENT_STORE; ${usage}`)
  }
  if (!hasOwn && option === undefined && first !== undefined && looksLikeStore(first)) {
    throw new UsageError(
      `${JSON.stringify(shown(first))} looks like a store, but AGENT_STORE names ${JSON.stringify(shown(preset))}; ` +
        `say --store ${shown(first)}, or unset AGENT_STORE`,
    )
  }
  const store = hasOwn ? first : preset
  const args = hasOwn ? positionals.slice(1) : positionals
  if (args.length > most) throw new UsageError(`too many arguments; ${usage}`)
  if (args.length < least) throw new UsageError(`missing ${command.args[args.length]}; ${usage}`)
  if (store === undefined || store === '') throw new UsageError(`no store; ${usage}`)
  return { store, args }
}

function looksLikeStore(argument: string): boolean {
  if (/\.(db|sqlite3?)$/i.test(argument) || isServerUrl(argument)) return true
  return statSync(argument, { throwIfNoEntry: false })?.isFile() === true
}

/** `agent-store log [store] <stream> [writer] [options]`. */
function usageLine(name: string, command: Command): string {
  const store = command.takesStore === false ? [] : ['[store]']
  return ['agent-store', name, ...store, ...command.args, '[options]'].join(' ')
}

/** The help page of one command. */
export function helpOf(name: string, command: Command): string {
  const rows = Object.entries({
    ...command.optionHelp,
    ...(command.takesStore === false
      ? {}
      : { '--store STORE': 'the store, in place of the argument and of AGENT_STORE' }),
    '--trace': 'show the stack of an error',
    '-h, --help': 'show this page',
  })
  const width = Math.max(...rows.map(([option]) => option.length))
  return [
    `${usageLine(name, command)}\n\n${command.summary}`,
    ...(command.notes === undefined ? [] : [`\n${command.notes}`]),
    '\nOptions:',
    ...rows.map(([option, text]) => `  ${option.padEnd(width)}  ${text}`),
    '',
  ].join('\n')
}

/** An option that must be a whole number. @throws UsageError. */
export function integerOption(
  value: string | boolean | undefined,
  option: string,
): bigint | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && /^[0-9]+$/.test(value)) return BigInt(value)
  throw new UsageError(`${option} must be a whole number, got ${JSON.stringify(value)}`)
}
