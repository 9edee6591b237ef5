/** Drives `interop bench`, the Rust crate's side of the benchmark, one command at a time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What a command took. */
export interface Measured {
  readonly ns: number
  readonly ops: number
}

export class RustWorker {
  readonly #process: ChildProcess
  readonly #waiting: ((line: string) => void)[] = []

  constructor(program: string) {
    const child = spawn(program, ['bench'], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#process = child
    createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(line))
  }

  async send(command: Record<string, unknown>): Promise<Measured> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve)
      this.#process.stdin?.write(`${JSON.stringify(command)}\n`)
    })
    const answer = JSON.parse(line)
    if (answer.error !== undefined) throw new Error(`${JSON.stringify(command)}: ${answer.error}`)
    return answer
  }

  end(): void {
    this.#process.stdin?.end()
  }
}
