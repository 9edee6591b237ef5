/** What the commands of `recall` have in common: which index they are about. @module */

export type Options = Readonly<Record<string, string | boolean | undefined>>

const NAME = 'turns'
export const NAMED = { name: { type: 'string' }, json: { type: 'boolean' } } as const
export const NAMED_HELP = {
  '--name NAME': `the index (default ${NAME})`,
  '--json': 'the same as JSON',
}

/** The index that is meant. */
export function nameOf({ name }: Options): string {
  return typeof name === 'string' ? name : NAME
}
