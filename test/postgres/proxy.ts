/**
 * A proxy between client and server that does to their connections what networks do.
 *
 * It is a process of its own, so it works while this thread blocks. What it is to do can be
 * laid out at its start, and changed at any time by `set`, which returns when it holds.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { waitUntil } from './process-table.ts'

/** What befalls a connection. */
export type Fault =
  | { readonly kind: 'pass' }
  /** The request never comes to the server, and the connection closes. */
  | { readonly kind: 'lose' }
  /** The server does what it is asked; its reply is dropped, and the connection closes. */
  | { readonly kind: 'swallow' }
  /** The connection closes after so many bytes of the reply; by a reset, if asked for. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly reset?: boolean }
  /** Each reply comes later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Nothing gets through, not even a close, until the next `set`; then all that was held. */
  | { readonly kind: 'silence'; readonly towards: 'server' | 'client' | 'both' }
  /** These bytes come before the reply. */
  | { readonly kind: 'inject'; readonly hex: string }

/**
 * A fault and when it happens. An exchange is a request and all of its reply, up to the
 * server's `ReadyForQuery`; those of all connections are counted together, from 1, without
 * what comes before the first `ReadyForQuery` of a connection. Where neither `everyNth`, `nth`
 * nor `containing` is given, the fault befalls all, and what comes before the first too.
 * A connection under TLS cannot be looked into: there is no exchange on it.
 */
export interface Plan {
  readonly fault: Fault
  /** Exchanges whose number it divides. */
  readonly everyNth?: number
  /** The one exchange with this number. */
  readonly nth?: number
  /** Exchanges whose request has this text in it. */
  readonly containing?: string
}

export interface Proxy extends Disposable {
  readonly port: number
  /** The same URL, by way of the proxy. */
  url(ofServer: string): string
  /** From now on, on open connections too. Exchanges are counted from 1 again. */
  set(plan: Plan): void
  /** How many faults have happened since the start. Without conditions, one for each request. */
  faults(): number
  /** Close the proxy and all of its connections. */
  [Symbol.dispose](): void
}

/** What goes to the proxy's process at its start. */
export interface ProxyTask {
  readonly folder: string
  /** Of the server, on 127.0.0.1. */
  readonly target: number
  readonly plan: Plan
}

const PROCESS = join(import.meta.dirname, 'proxy-process.ts')

/** A proxy to a server's port on 127.0.0.1, which does nothing unless told to. */
export function startProxy(target: number, plan: Plan = { fault: { kind: 'pass' } }): Proxy {
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-proxy-'))
  const task: ProxyTask = { folder, target, plan }
  const child = spawn(process.execPath, [PROCESS, JSON.stringify(task)], {
    detached: true, // so that it lives to clean up when we are interrupted
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  child.unref()
  // It ends, and removes its folder, when its stdin does: at the latest with this process.
  child.stdin.on('error', () => undefined)

  const journal = join(folder, 'journal')
  const said = (word: string): string[] => {
    const lines = fs.existsSync(journal) ? fs.readFileSync(journal, 'utf8').split('\n') : []
    lines.pop() // what is not complete yet
    return lines.filter((line) => line.startsWith(word))
  }
  waitUntil('the proxy listens', () => said('listening').length > 0)
  const port = Number(said('listening')[0]?.slice('listening '.length))
  let sets = 0
  return {
    port,
    url(ofServer) {
      const url = new URL(ofServer)
      url.port = String(port)
      return url.href
    },
    set(next) {
      child.stdin.write(`${JSON.stringify(next)}\n`)
      sets++
      waitUntil('the proxy has its new plan', () => said('set').length === sets)
    },
    faults: () => said('fault').length,
    [Symbol.dispose]() {
      child.stdin.write('end\n')
      waitUntil('the proxy has ended', () => !fs.existsSync(folder))
    },
  }
}
