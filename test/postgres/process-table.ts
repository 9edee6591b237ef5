/**
 * Which processes there are, asked and waited for without giving way to the event loop.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'

/**
 * The processes that run, each with the one that started it. One that has ended, and only
 * waits for its parent to hear of it, is not among them.
 */
function processTable(): { pid: number; parent: number }[] {
  const { stdout, error } = spawnSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' })
  if (error !== undefined) throw error
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => state !== undefined && !state.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}

/** Processes that `pid` has started. */
export function childrenOf(pid: number): number[] {
  return processTable().flatMap((each) => (each.parent === pid ? each.pid : []))
}

/** Whether any of these processes runs. */
export function isAlive(...pids: readonly number[]): boolean {
  return processTable().some(({ pid }) => pids.includes(pid))
}

/** Send a signal to a process, if it is still there. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** Block until `done`. @throws after ten seconds. */
export function waitUntil(what: string, done: () => boolean): void {
  const sleep = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + 10_000
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`)
    Atomics.wait(sleep, 0, 0, 10)
  }
}
