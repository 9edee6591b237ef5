/**
 * A test file run once more in a network of its own, where it reaches nobody else.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'

const INSIDE = 'AGENT_STORE_NETWORK_OF_ITS_OWN'

/** Whether this process is in one. */
export const isInside: boolean = process.env[INSIDE] !== undefined

/** Why there can be none that `setup`, a line of shell, prepares, or `false`. */
export function withoutNetwork(setup: string): string | false {
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', setup])
  return status !== 0 && 'a network of its own needs the right to make one'
}

/** Run the tests of `file` in one. `report` is their TAP, and what they said on stderr. */
export function runInside(file: string, setup: string): { status: number | null; report: string } {
  const { [INSIDE]: _, NODE_TEST_CONTEXT: __, ...environment } = process.env
  const again = [process.execPath, ...process.execArgv, '--test-reporter=tap', file]
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--net', 'sh', '-c', `${setup} && exec "$@"`, 'sh', ...again],
    {
      env: { ...environment, [INSIDE]: '1', RUST_BACKTRACE: '0' },
      encoding: 'utf8',
      timeout: 60_000,
    },
  )
  return { status, report: stdout + stderr }
}
