/**
 * One writer among several: does its task, and says a line for each thing that the store
 * has acknowledged, after the call returned and never before. Runs as a process (lines go
 * to stdout by a blocking write, so a SIGKILL cannot lose one that was said) or as a
 * thread (lines are messages).
 *
 * @module
 */
import { readSync, writeSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { type Backend, type Entry, Generation, WriterLog } from 'agent-store'
import { createTables, openerOf, type Store } from './store.ts'

/** What a worker is asked to do, with the store that it does it to. */
export type Task = { readonly store: Store } & (
  | {
      readonly kind: 'append'
      readonly writer: string
      /** Marks this worker's payloads: `label 1`, `label 2`, … */
      readonly label: string
      readonly count: number
      /** To spread them over a while. Default 0. */
      readonly pauseMs?: number
    }
  | { readonly kind: 'bump'; readonly key: string; readonly count: number }
  | { readonly kind: 'first-open'; readonly writer: string; readonly count: number }
  | { readonly kind: 'append-for'; readonly writer: string; readonly runMs: number }
  | { readonly kind: 'hold'; readonly holdMs: number }
)

/** The stream that all of them write to. */
export const STREAM = 'contended'

/** What is said for an entry that was acknowledged. */
export function acknowledgement({ writer, seq, contentHash }: Entry): string {
  return `${writer} ${seq} ${Buffer.from(contentHash).toString('hex')}`
}

function say(line: string): void {
  if (isMainThread) writeSync(1, `${line}\n`)
  else parentPort?.postMessage(line)
}

/** Say that all is prepared, and wait until everybody is to start. */
function ready(): void {
  say('ready')
  if (isMainThread) readSync(0, new Uint8Array(1))
  else Atomics.wait(workerData as Int32Array, 0, 0)
}

function append(
  db: Backend,
  writer: string,
  label: string,
  count: number,
  pauseMs: number = 0,
): void {
  for (let i = 1; i <= count; i++) {
    say(acknowledgement(WriterLog.append(db, STREAM, writer, `${label} ${i}`)))
    if (pauseMs > 0) pause(pauseMs)
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Append without a pause. Says how many, and how long the slowest took. */
function appendFor(db: Backend, writer: string, runMs: number): void {
  const endMs = performance.now() + runMs
  let appends = 0
  let longestMs = 0
  for (let nowMs = performance.now(); nowMs < endMs; appends++) {
    WriterLog.append(db, STREAM, writer, 'x')
    const startedMs = nowMs
    nowMs = performance.now()
    longestMs = Math.max(longestMs, nowMs - startedMs)
  }
  say(`${appends} / ${Math.round(longestMs)}`)
}

async function perform(task: Task): Promise<void> {
  const open = await openerOf(task.store)
  if (task.kind === 'first-open') {
    ready()
    using db = open()
    createTables(db)
    append(db, task.writer, task.writer, task.count)
    return
  }
  using db = open()
  ready()
  switch (task.kind) {
    case 'append':
      append(db, task.writer, task.label, task.count, task.pauseMs)
      break
    case 'append-for':
      appendFor(db, task.writer, task.runMs)
      break
    case 'bump': {
      const counter = new Generation(task.key)
      for (let i = 0; i < task.count; i++) say(String(counter.bump(db)))
      break
    }
    case 'hold':
      db.transaction(() => {
        say('held')
        pause(task.holdMs)
      })
      break
  }
}

const [, script, task] = process.argv
if (script === import.meta.filename && task !== undefined) await perform(JSON.parse(task) as Task)
