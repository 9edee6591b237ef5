/**
 * What happens while this thread blocks in a call: done by a process of its own.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { childrenOf } from './process-table.ts'
import type { Server } from './server.ts'

/** Long enough for the call under test to be sent and waiting. */
const SOON_MS = 300

/** The first process of a server that runs. */
export function postmasterOf(server: Server): number {
  return Number.parseInt(fs.readFileSync(join(server.folder, 'data/postmaster.pid'), 'utf8'), 10)
}

/** Send a signal to the server soon: to its first process, or to all of them. */
export function signalSoon(server: Server, name: 'INT' | 'KILL', to: 'first' | 'all'): void {
  const first = postmasterOf(server)
  const pids = to === 'first' ? [first] : [first, ...childrenOf(first)]
  const command = `sleep ${SOON_MS / 1000}; kill -${name} ${pids.join(' ')}`
  spawn('sh', ['-c', command], { stdio: 'ignore', detached: true }).unref()
}

/** Block this thread, so that what is on its way arrives. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** How long `work` takes, in milliseconds. */
export function timeOf(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** What `work` throws. */
export function errorOf(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
