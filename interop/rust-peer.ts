/** A process of the real Rust bus, driven by lines of JSON. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Peer } from 'agent-store/mesh'

/** What it answers to `bind`. */
export interface Bound {
  readonly port: number
  readonly pub: string
  readonly agent: string
  readonly user: string
}

type Answer = Readonly<Record<string, unknown>>

/** One process. */
export class RustPeer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  /** The bodies that its subscriptions were told, in order. */
  readonly told: Buffer[] = []
  #onTold: () => void = () => {}
  #last = 0

  constructor(path: string) {
    this.#process = spawn(path, [], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#process.stdin.on('error', () => {})
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const said = JSON.parse(line)
      if (typeof said.id === 'number') {
        this.#waiting.get(said.id)?.(said)
        this.#waiting.delete(said.id)
      } else {
        this.told.push(Buffer.from(said.body, 'hex'))
        this.#onTold()
      }
    })
    this.#process.once('exit', () => {
      for (const answer of this.#waiting.values()) answer({ err: 'the process ended' })
      this.#waiting.clear()
    })
  }

  /** Bind as a fresh agent of the user with this key file. */
  async bind(key: string, more: Answer = {}): Promise<Bound> {
    const { port, pub, agent, user } = await this.say('bind', { key, ...more })
    return { port: Number(port), pub: String(pub), agent: String(agent), user: String(user) }
  }

  /** Send a command. @throws Error with what it says when it fails. */
  async say(op: string, more: Answer = {}): Promise<Answer> {
    const id = ++this.#last
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve))
    this.#process.stdin.write(`${JSON.stringify({ id, op, ...more })}\n`)
    const answer = await answered
    if (typeof answer.err === 'string') throw new Error(answer.err)
    return answer
  }

  /** Publish to an address. */
  async publish(peer: Peer, topic: string, body: Uint8Array): Promise<void> {
    await this.say('publish', { ...placeOf(peer), topic, body: hex(body) })
  }

  /** Wait until it was told so many in all. @throws Error after `timeoutMs`. */
  async toldAll(count: number, timeoutMs = 10_000): Promise<Buffer[]> {
    const late = AbortSignal.timeout(timeoutMs)
    while (this.told.length < count) {
      await new Promise<void>((resolve, reject) => {
        this.#onTold = resolve
        late.addEventListener('abort', () => {
          reject(new Error(`it was told ${this.told.length} of ${count}`))
        })
      })
    }
    return this.told
  }

  /** End it at once. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
  }
}

/** Where to dial a bound process. */
export function peerOf(bound: Bound): Peer {
  return {
    publicKey: new Uint8Array(Buffer.from(bound.pub, 'hex')),
    addresses: [`127.0.0.1:${bound.port}`],
  }
}

/** What a command says of whom to dial. */
export function placeOf(peer: Peer): { pub: string; addr: string | undefined } {
  return { pub: hex(peer.publicKey), addr: peer.addresses[0] }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
