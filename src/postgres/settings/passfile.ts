/**
 * The password file of libpq, `~/.pgpass`: lines of `host:port:database:user:password`.
 *
 * A field is `*` for any value; a backslash takes the ':' or '\' after it as it is; a line
 * that starts with '#' is a comment; the first line that matches wins. As with libpq, a file
 * that others may read is not read, and a process warning says so.
 *
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs'
import { shown } from './keywords.ts'

/** Whom a password is asked for. `host` is `localhost` for the default socket folder. */
export interface PassfileKey {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

/**
 * The password of the first line that matches, or `undefined`. A file that is not there is no
 * failure. One that cannot be used raises the process warning `AGENT_STORE_PASSFILE`.
 */
export function passwordFromFile(path: string, key: PassfileKey): string | undefined {
  const text = readPassfile(path)
  const wanted = [key.host, String(key.port), key.database, key.user]
  for (const line of text?.split(/\r?\n/) ?? []) {
    if (line.startsWith('#')) continue
    const fields = fieldsOf(line)
    const password = fields[4]?.text
    if (password && wanted.every((value, n) => fields[n]?.any || fields[n]?.text === value)) {
      return password
    }
  }
  return undefined
}

function readPassfile(path: string): string | undefined {
  let file: number | undefined
  try {
    // Without O_NONBLOCK, a pipe of that name would block for ever.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const refusal = refusalOf(fstatSync(file))
    if (refusal === undefined) return readFileSync(file, 'utf8')
    warn(path, refusal)
  } catch (error) {
    if (!isMissing(error)) warn(path, error instanceof Error ? error.message : String(error))
  } finally {
    if (file !== undefined) closeSync(file)
  }
  return undefined
}

function refusalOf(stats: Stats): string | undefined {
  if (!stats.isFile()) return 'it is not a plain file'
  if (process.platform === 'win32' || (stats.mode & 0o077) === 0) return undefined
  return 'its group or others have access to it; chmod it to 0600 or less'
}

function warn(path: string, why: string): void {
  process.emitWarning(`the password file ${shown(path)} is ignored: ${why}`, {
    code: 'AGENT_STORE_PASSFILE',
  })
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(ENOENT|ENOTDIR)$/.test(String(error.code))
}

/** The fields of a line; `any` is an unescaped `*` alone. */
function fieldsOf(line: string): { text: string; any: boolean }[] {
  return [...line.matchAll(/((?:\\.|[^:])*)(?::|$)/gsy)].map(([, raw = '']) => ({
    text: raw.replace(/\\(.)/gs, '$1'),
    any: raw === '*',
  }))
}
