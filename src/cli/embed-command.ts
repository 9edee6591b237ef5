/**
 * An embedder that is somebody's program: it reads a JSON string a line, and writes a JSON array
 * of numbers a line for each, in the same order.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Embedder, VectorLike } from '../recall/index.ts'

/** The program runs from now until it is disposed of. */
export function embedCommand(command: string, model: string): Embedder & Disposable {
  const child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => {
    throw new Error(`the command of --embed ended with ${String(code ?? signal)}`)
  })
  ended.catch(() => undefined)
  child.stdin.on('error', () => undefined) // It has ended, which says more.
  return {
    model,
    async embed(texts) {
      for (const text of texts) child.stdin.write(`${JSON.stringify(text)}\n`)
      const vectors: VectorLike[] = []
      while (vectors.length < texts.length) {
        const { done, value } = await Promise.race([lines.next(), ended])
        if (done === true) return await ended
        vectors.push(toNumbers(value))
      }
      return vectors
    },
    [Symbol.dispose]: () => void child.stdin.end(),
  }
}

function toNumbers(line: string): number[] {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    value = undefined
  }
  if (Array.isArray(value) && value.every((each) => typeof each === 'number')) return value
  throw new TypeError(
    `the command of --embed must print a JSON array of numbers a line, got ${JSON.stringify(line.slice(0, 80))}`,
  )
}
