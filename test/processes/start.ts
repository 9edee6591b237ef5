/**
 * Starting workers, as processes or as threads, and hearing what they say.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Task } from './worker.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))

/** A script that runs as a process of its own. */
export interface Started {
  /** Resolves with the first `count` lines, or with all of them if it ends before. */
  lines(count: number): Promise<string[]>
  /** Let it go on from where it waits for its stdin. */
  go(): void
  kill(): void
  /** How it ended, and all that it said. A line that was cut off is not in it. */
  readonly end: Promise<{ lines: string[]; failure: string | undefined }>
}

/** Run a TypeScript file with this Node, from source. */
export function startScript(script: string, ...args: string[]): Started {
  const child = spawn(process.execPath, ['-C', '@agent-store/source', script, ...args])
  let said = ''
  let complaints = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaints += chunk
  })
  // Killed before it read what it waits for.
  child.stdin.on('error', () => undefined)
  const complete = () => said.split('\n').slice(0, -1)
  let ended = false
  const end = once(child, 'close').then(([code, signal]: unknown[]) => {
    ended = true
    const failure = code === 0 ? undefined : `ended with ${String(code ?? signal)}: ${complaints}`
    return { lines: complete(), failure }
  })
  return {
    end,
    async lines(count) {
      while (!ended && complete().length < count) {
        await Promise.race([end, once(child.stdout, 'data')])
      }
      return complete().slice(0, count)
    },
    go: () => void child.stdin.end('\n'),
    kill: () => void child.kill('SIGKILL'),
  }
}

/** Start the worker of `worker.ts` as a process. */
export function startWorker(task: Task): Started {
  return startScript(WORKER, JSON.stringify(task))
}

/**
 * Run all tasks as processes that start at the same moment.
 * @returns what each has said, without its `ready`.
 * @throws when one of them failed.
 */
export async function runProcesses(tasks: readonly Task[]): Promise<string[][]> {
  const started = tasks.map(startWorker)
  await Promise.all(started.map((worker) => worker.lines(1)))
  for (const worker of started) worker.go()
  const ends = await Promise.all(started.map((worker) => worker.end))
  const failures = ends.flatMap(({ failure }) => failure ?? [])
  if (failures.length > 0) throw new Error(failures.join('\n'))
  return ends.map(({ lines }) => lines.slice(1))
}

/** Run all tasks as threads of this process that start at the same moment. */
export async function runThreads(tasks: readonly Task[]): Promise<string[][]> {
  const start = new Int32Array(new SharedArrayBuffer(4))
  let waiting = tasks.length
  const runs = tasks.map(async (task) => {
    const thread = new Worker(WORKER, { argv: [JSON.stringify(task)], workerData: start })
    const said: string[] = []
    thread.on('message', (line: string) => {
      if (line !== 'ready') said.push(line)
      else if (--waiting === 0) {
        Atomics.store(start, 0, 1)
        Atomics.notify(start, 0)
      }
    })
    await once(thread, 'exit') // rejects with what the thread threw
    return said
  })
  return await Promise.all(runs)
}
