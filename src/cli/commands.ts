/**
 * Every command of the command line, and the module that has it. A new command is a line here, and
 * a module that exports a `Command` (`command.ts`).
 *
 * @module
 */
import type { Command } from './command.ts'

/** A command is loaded when it is asked for: a script that appends needs no mesh. */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo/demo.ts')).demo,
  append: async () => (await import('./append.ts')).append,
  log: async () => (await import('./log.ts')).log,
  tail: async () => (await import('./tail.ts')).tail,
  heads: async () => (await import('./heads.ts')).heads,
  streams: async () => (await import('./heads.ts')).streams,
  verify: async () => (await import('./verify.ts')).verify,
  'generation get': async () => (await import('./generation.ts')).get,
  'generation bump': async () => (await import('./generation.ts')).bump,
  'generation set': async () => (await import('./generation.ts')).set,
  import: async () => (await import('./transfer.ts')).importCommand,
  export: async () => (await import('./transfer.ts')).exportCommand,
  backup: async () => (await import('./backup.ts')).backup,
  restore: async () => (await import('./backup.ts')).restore,
  info: async () => (await import('./info.ts')).info,
  migrate: async () => (await import('./migrate.ts')).migrate,
  'recall index': async () => (await import('./recall-index.ts')).indexCommand,
  'recall search': async () => (await import('./recall.ts')).search,
  'recall status': async () => (await import('./recall.ts')).status,
  'recall rebuild': async () => (await import('./recall-index.ts')).rebuild,
  'recall drop': async () => (await import('./recall.ts')).drop,
  'mesh keygen': async () => (await import('./mesh.ts')).keygen,
  'mesh whoami': async () => (await import('./mesh.ts')).whoami,
  'mesh peers': async () => (await import('./mesh.ts')).peers,
  'mesh listen': async () => (await import('./mesh.ts')).listen,
  'mesh ring': async () => (await import('./mesh.ts')).ring,
}
/** Commands of two words. */
export const GROUPS: readonly string[] = ['generation', 'recall', 'mesh']
