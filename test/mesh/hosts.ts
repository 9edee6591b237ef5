/**
 * Two hosts on one machine: processes in network namespaces of their own, and one link between
 * them. Namespaces and devices go with their processes, so nothing is left behind.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A busy machine takes its time to start processes, and that is not what is tested. */
const START_MS = 60_000

/** What carries packets between two namespaces; kernels differ in what they have. */
export type LinkKind = 'veth' | 'tun'

/** Why hosts with such a link cannot be had here, or `false`. */
export function withoutLink(kind: LinkKind): string | false {
  const tried = (...args: string[]) => {
    const { error, status, stderr } = spawnSync('unshare', ['--net', ...args], { encoding: 'utf8' })
    return status === 0 ? false : (error?.message ?? stderr.trim())
  }
  const reason = tried('ip', 'link', 'set', 'lo', 'up')
  if (reason !== false) return `no network namespaces here: ${reason}`
  const missing =
    kind === 'veth'
      ? tried('ip', 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two')
      : tried('sh', '-c', 'ip tuntap add dev one mode tun && exec python3 --version')
  return missing !== false && `no ${kind} devices here: ${missing}`
}

/** What a host reports; which fields are there depends on what happened. */
export interface Report {
  readonly isUp?: boolean
  readonly isReady?: boolean
  readonly peer?: string
  readonly appended?: number
  /** How long the append took, in ms. */
  readonly took?: number
  readonly unreached?: string
  readonly read?: number
  readonly by?: 'bell' | 'look'
  /** When, in ns of the machine's monotonic clock. */
  readonly at?: string
}

/** A process in a network namespace of its own, and all that it has reported. */
export class Host {
  readonly reports: Report[] = []
  readonly #process: ChildProcess

  private constructor(started: ChildProcess) {
    this.#process = started
    started.on('message', (report: Report) => this.reports.push(report))
  }

  static async start(t: TestContext, ...args: string[]): Promise<Host> {
    const script = join(import.meta.dirname, 'host-process.ts')
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env
    const command = [process.execPath, ...process.execArgv, script, ...args]
    const started = spawn('unshare', ['--net', ...command], {
      env: { ...environment, RUST_BACKTRACE: '0' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    t.after(() => started.kill('SIGKILL'))
    const host = new Host(started)
    await host.until(() => host.reports.length > 0, START_MS)
    return host
  }

  /** Its process id, by which its namespace is known. */
  get id(): string {
    return String(this.#process.pid)
  }

  tell(message: object): void {
    this.#process.send(message)
  }

  /** Run `ip` in its network. */
  ip(...args: string[]): void {
    execFileSync('nsenter', ['--net', '--target', this.id, 'ip', ...args], { stdio: 'pipe' })
  }

  /** Wait until what it has reported is as it should be. */
  async until(isSo: () => boolean, patienceMs = 10_000): Promise<void> {
    const signal = AbortSignal.timeout(patienceMs)
    while (!isSo()) {
      assert.equal(this.#process.exitCode, null, 'the host has ended')
      await once(this.#process, 'message', { signal }).catch((cause: unknown) => {
        const last = JSON.stringify(this.reports.at(-1))
        throw new Error(`waited in vain; the last report was ${last}`, { cause })
      })
    }
  }
}

/** Put a link between two hosts, and give each its address. */
export async function connect(
  t: TestContext,
  kind: LinkKind,
  ends: readonly (readonly [Host, string])[],
): Promise<void> {
  const [one, two] = ends.map(([{ id }]) => id)
  assert.ok(one !== undefined && two !== undefined)
  if (kind === 'tun') {
    const carrier = spawn('python3', [join(import.meta.dirname, 'tun-link.py'), one, two], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    t.after(() => carrier.kill('SIGKILL'))
    const [said] = await once(carrier.stdout, 'data')
    assert.equal(String(said).trim(), 'up')
  } else {
    const type = ['type', 'veth', 'peer', 'name', 'cable', 'netns', two]
    ends[0]?.[0].ip('link', 'add', 'cable', ...type)
  }
  for (const [host, address] of ends) {
    host.ip('link', 'set', 'lo', 'up')
    host.ip('address', 'add', `${address}/24`, 'dev', 'cable')
    host.ip('link', 'set', 'cable', 'up')
  }
}
