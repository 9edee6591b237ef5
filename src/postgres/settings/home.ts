/**
 * What the operating system knows of the user, where a connection names nobody.
 *
 * @module
 */
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import { PolicyError } from '../../index.ts'

/** Where libpq keeps a user's files. */
export function filesOf(env: NodeJS.ProcessEnv): { passfile: string; tlsFolder: string } {
  if (process.platform === 'win32') {
    const folder = join(env.APPDATA || homedir(), 'postgresql')
    return { passfile: join(folder, 'pgpass.conf'), tlsFolder: folder }
  }
  const home = env.HOME || homedir()
  return { passfile: join(home, '.pgpass'), tlsFolder: join(home, '.postgresql') }
}

/**
 * The name of the current user.
 * @throws PolicyError where the system has none.
 */
export function systemUser(): string {
  try {
    return userInfo().username
  } catch (cause) {
    // A container may run as a number that no user has.
    throw new PolicyError('the system has no name for the current user; say user, or PGUSER', {
      cause,
    })
  }
}
