/**
 * The process of `proxy.ts`: forwards bytes between clients and one server, as planned.
 *
 * It takes new plans as lines on its stdin, and ends with it. What it says goes to a file,
 * before it happens.
 *
 * @module
 */
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Fault, Plan, ProxyTask } from './proxy.ts'
import { replyReader } from './reply-reader.ts'

const { folder, target, plan: firstPlan }: ProxyTask = JSON.parse(process.argv[2] ?? '')
const journal = fs.openSync(join(folder, 'journal'), 'a')
const say = (line: string) => fs.writeSync(journal, `${line}\n`)

const PASS: Fault = { kind: 'pass' }
const connections = new Set<Connection>()
let plan: Plan = firstPlan
let exchanges = 0

/** What the plan does to all bytes, whichever exchange they belong to. */
function constantFault(): Fault {
  const { everyNth, nth, containing, fault } = plan
  return everyNth === undefined && nth === undefined && containing === undefined ? fault : PASS
}

/** What it does to the exchange that begins with this request. */
function faultOfNextExchange(request: Buffer): Fault {
  exchanges++
  const { everyNth, nth, containing, fault } = plan
  const happens =
    (everyNth === undefined || exchanges % everyNth === 0) &&
    (nth === undefined || exchanges === nth) &&
    (containing === undefined || request.includes(containing))
  return happens ? fault : PASS
}

/** One direction of a connection: what happens in it happens in order, and may have to wait. */
class Lane {
  #queue: { due: number; step: () => void }[] = []
  #isSilent = false

  add(step: () => void, delayMs = 0): void {
    this.#queue.push({ due: performance.now() + delayMs, step })
    this.#flow()
  }

  set isSilent(value: boolean) {
    this.#isSilent = value
    this.#flow()
  }

  #flow(): void {
    for (let next = this.#queue[0]; next !== undefined && !this.#isSilent; next = this.#queue[0]) {
      const waitMs = next.due - performance.now()
      if (waitMs > 0) {
        setTimeout(() => this.#flow(), waitMs)
        return
      }
      this.#queue.shift()
      next.step()
    }
  }
}

class Connection {
  #client: net.Socket
  #server: net.Socket
  #toClient = new Lane()
  #toServer = new Lane()
  /** Whether the first `ReadyForQuery` is yet to come. */
  #isOpening = true
  /** Whether a request waits for the end of its reply. */
  #isBusy = false
  #fault: Fault = PASS
  #replied = 0
  #endsReply = replyReader()

  constructor(client: net.Socket) {
    this.#client = client
    this.#server = net.connect(target, '127.0.0.1')
    this.apply(constantFault())
    client.on('data', (chunk) => this.#request(chunk))
    this.#server.on('data', (chunk) => this.#reply(chunk))
    client.on('close', () => this.#toServer.add(() => this.#server.end()))
    this.#server.on('close', () => this.#toClient.add(() => client.end()))
    for (const socket of [client, this.#server]) {
      socket.setNoDelay()
      socket.on('error', () => undefined) // and `close` follows
      socket.on('close', () => {
        if (client.destroyed && this.#server.destroyed) connections.delete(this)
      })
    }
  }

  /** Have this befall all that comes from now on, until the next exchange. */
  apply(fault: Fault): void {
    this.#fault = fault
    const silent = fault.kind === 'silence' ? fault.towards : undefined
    this.#toClient.isSilent = silent === 'client' || silent === 'both'
    this.#toServer.isSilent = silent === 'server' || silent === 'both'
  }

  #request(chunk: Buffer): void {
    if (this.#isOpening || !this.#isBusy) {
      this.#replied = 0
      const isExchange = !this.#isOpening
      const silent = this.#fault.kind === 'silence' // which lasts
      const fault = isExchange ? faultOfNextExchange(chunk) : constantFault()
      if (!silent) this.apply(fault)
      this.#isBusy = isExchange
      if (this.#fault.kind !== 'pass') say(`fault ${this.#fault.kind}`)
    }
    if (this.#fault.kind === 'lose') this.#close()
    else this.#toServer.add(() => this.#server.write(chunk))
  }

  #reply(chunk: Buffer): void {
    const isComplete = this.#endsReply(chunk)
    const fault = this.#fault
    const before = this.#replied
    this.#replied += chunk.length
    if (fault.kind === 'swallow') {
      if (isComplete || this.#isOpening) this.#close()
    } else if (fault.kind === 'cut' && this.#replied >= fault.afterBytes) {
      this.#close(chunk.subarray(0, fault.afterBytes - before), fault.reset)
    } else {
      const injected = fault.kind === 'inject' && before === 0 ? fault.hex : ''
      const bytes = Buffer.concat([Buffer.from(injected, 'hex'), chunk])
      const delayMs = fault.kind === 'delay' ? fault.ms : 0
      this.#toClient.add(() => this.#client.write(bytes), delayMs)
    }
    if (!isComplete) return
    this.#isOpening = false
    this.#isBusy = false
  }

  /** End both sides, the client's after some last bytes. */
  #close(last: Buffer = Buffer.alloc(0), reset = false): void {
    for (const socket of [this.#client, this.#server]) socket.removeAllListeners('data')
    this.#server.destroy()
    if (reset) this.#client.write(last, () => this.#client.resetAndDestroy())
    else this.#client.end(last, () => this.#client.destroy())
  }
}

function end(): void {
  fs.rmSync(folder, { recursive: true, force: true })
  process.exit()
}

const proxy = net.createServer((client) => connections.add(new Connection(client)))
proxy.listen(0, '127.0.0.1', () => {
  const address = proxy.address()
  if (address !== null && typeof address === 'object') say(`listening ${address.port}`)
})

createInterface(process.stdin)
  .on('line', (line) => {
    if (line === 'end') return end()
    plan = JSON.parse(line)
    exchanges = 0
    for (const connection of connections) connection.apply(constantFault())
    say(`set ${line}`)
  })
  .on('close', end)
