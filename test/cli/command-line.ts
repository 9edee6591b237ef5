/**
 * The command line as a process of its own, which is heard while it runs.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** What is run. */
export const MAIN: string = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')
const PATIENCE_MS = 20_000

interface Running {
  readonly child: ChildProcess
  /** How it ended, and all that it said. */
  readonly ended: Promise<{ code: unknown; said: string; complaints: string }>
  /** What it has said on stderr so far. */
  complaints(): string
  /** Its lines, once there are `count` of them; fails when that takes too long. */
  lines(count: number): Promise<string[]>
}

/** Start it; it is killed after the test. */
export function startCommand(
  t: TestContext,
  args: readonly string[],
  place: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Running {
  const child = spawn(process.execPath, [MAIN, ...args], place)
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  let complaints = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaints += chunk
  })
  const ended = once(child, 'close').then(([code]: unknown[]) => ({ code, said, complaints }))
  const complete = () => said.split('\n').slice(0, -1)
  return {
    child,
    ended,
    complaints: () => complaints,
    async lines(count) {
      const signal = AbortSignal.timeout(PATIENCE_MS)
      while (complete().length < count) {
        const more = once(child.stdout, 'data', { signal }).then(() => true)
        const goesOn = await Promise.race([more.catch(() => false), ended.then(() => false)])
        assert.ok(goesOn || complete().length >= count, `only ${said}${complaints}`)
      }
      return complete()
    },
  }
}
