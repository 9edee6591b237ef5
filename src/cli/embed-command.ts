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

/**
 * The program runs from now until it is disposed of. What it answers is told apart by the order
 * alone, so after one answer that is none it is not asked again.
 */
export function embedCommand(command: string, model: string): Embedder & Disposable {
  const child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code, signal]: unknown[]) => {
    throw new Error(`the command of --embed ended with ${String(code ?? signal)}`)
  })
  ended.catch(() => undefined)
  child.stdin.on('error', () => undefined) // It has ended, which says more.
  let broken: TypeError | undefined
  return {
    model,
    async embed(texts) {
      if (broken !== undefined) throw broken
      for (const text of texts) child.stdin.write(`${JSON.stringify(text)}\n`)
      const vectors: VectorLike[] = []
      while (vectors.length < texts.length) {
        const { done, value } = await lines.next()
        if (done === true) return await ended
        const vector = toNumbers(value)
        if (vector === undefined) {
          child.kill()
          broken = new TypeError(
            `the command of --embed must print a JSON array of numbers a line, got ${JSON.stringify(value.slice(0, 80))}`,
          )
          throw broken
        }
        vectors.push(vector)
      }
      return vectors
    },
    [Symbol.dispose]: () => void child.stdin.end(),
  }
}

/** `undefined` for a line that is no vector. */
function toNumbers(line: string): number[] | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  return Array.isArray(value) && value.every((each) => typeof each === 'number') ? value : undefined
}
