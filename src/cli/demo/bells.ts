/**
 * A part of the demo: two processes that wait for each other's entries, woken by whichever bell
 * there is. This one appends a ping, the other answers each with a pong.
 *
 * Over the mesh both read the same file through connections that hear nothing of it, so that
 * what wakes them is the mesh alone.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Bell, follow, headsOf } from '../../follow/index.ts'
import { type Backend, Doorbell, Fingerprint, SqliteBackend, WriterLog } from '../../index.ts'
import {
  Agent,
  formatPeer,
  IrohTransport,
  KeyPair,
  MeshBell,
  MeshBus,
  parsePeer,
  readKeyFile,
  writeKeyFile,
} from '../../mesh/index.ts'
import { isServerUrl, PgBackend } from '../../postgres/index.ts'
import { FoundFault } from '../command.ts'
import type { Output } from '../output.ts'

/** Where the two write, and who. */
export const PING = { stream: 'demo:ping', writer: 'ping' } as const
export const PONG = { stream: 'demo:pong', writer: 'pong' } as const

const ROUNDS = 100
const PATIENCE_MS = 20_000
const LOOPBACK = { listen: ['127.0.0.1:0', '[::1]:0'] }

/** A store that its own bell wakes: a file by its writes, a server by NOTIFY. */
export function openHearing(store: string): Backend {
  return isServerUrl(store)
    ? PgBackend.connect({ url: store, notify: true })
    : SqliteBackend.open(store)
}

/** A file through a connection that hears nothing of it. */
export function openDeaf(file: string): Backend {
  return SqliteBackend.fromConnection(SqliteBackend.open(file).connection)
}

/** An agent of the key's user, on the mesh of this machine alone. */
export async function joinMesh(
  keyFile: string,
  role: string,
  keepConnections = true,
): Promise<MeshBus> {
  const agent = Agent.issue(readKeyFile(keyFile), { role })
  return MeshBus.bind({
    agent,
    transport: await IrohTransport.bind(agent.key, LOOPBACK),
    keepConnections,
  })
}

/** Tell a peer of what is committed through `db`, and hear what it tells. */
export function meshBellOf(bus: MeshBus, db: Backend, peer: string): MeshBell {
  const mesh = new MeshBell(bus, { peers: [parsePeer(peer)] })
  const local = new Doorbell()
  local.tie(db)
  local.subscribe((event) => mesh.ring(event))
  return mesh
}

/** Whether the mesh's network can be had here. */
export function hasMesh(): boolean {
  try {
    createRequire(import.meta.url)('@number0/iroh/index.js')
    return true
  } catch {
    return false
  }
}

/** Ping and pong through the store's own bell. */
export async function wakeByStore(out: Output, store: string): Promise<void> {
  using echo = new Echo('store', store)
  await echo.firstLine()
  using db = openHearing(store)
  const bell = isServerUrl(store) ? 'NOTIFY on the server' : 'writes to the file'
  out.line(`   woken by ${bell}: ${await there(db, [])}`)
  out.flush()
  await echo.end()
}

/** Ping and pong over the mesh, on loopback. */
export async function wakeByMesh(out: Output, file: string): Promise<void> {
  const keyFile = join(dirname(file), 'user.key')
  writeKeyFile(keyFile, KeyPair.generate())
  await using bus = await joinMesh(keyFile, 'ping')
  using echo = new Echo('mesh', file, keyFile, formatPeer(bus.peer))
  const peer = await echo.firstLine()
  const db = openDeaf(file)
  using mesh = meshBellOf(bus, db, peer)
  const name = Fingerprint.fromEd25519Pubkey(parsePeer(peer).publicKey).short()
  out.line(`   woken over the mesh by ${name}: ${await there(db, [mesh])}`)
  out.flush()
  await echo.end()
}

/** Ping, and wait for the pong, over and over. @returns how long that takes. */
async function there(db: Backend, bells: readonly Bell[]): Promise<string> {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  const pongs = follow(db, { ...PONG, after: headsOf(db, PONG), bells, signal })
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    const pong = pongs.next()
    WriterLog.append(db, PING.stream, PING.writer, `ping ${round}`)
    await pong.catch((cause: unknown) => {
      if (!signal.aborted) throw cause
      throw new FoundFault(`the other process answered ${round} of ${ROUNDS} pings in time`)
    })
    times.push(performance.now() - start)
  }
  await pongs.return()
  times.sort((a, b) => a - b)
  const at = (share: number) => (times[Math.floor(share * (ROUNDS - 1))] ?? 0).toFixed(1)
  return `there and back in ${at(0.5)} ms, 9 of 10 within ${at(0.9)} ms`
}

/** The other process, which does not outlive this one's interest in it. */
class Echo implements Disposable {
  readonly #child: ChildProcess

  constructor(...args: string[]) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const script = fileURLToPath(new URL(`./echo.${extension}`, import.meta.url))
    this.#child = spawn(process.execPath, [script, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
  }

  async firstLine(): Promise<string> {
    const { stdout } = this.#child
    for await (const line of createInterface({ input: stdout ?? ([] as never) })) return line
    throw new FoundFault('the other process ended before it was ready; see above')
  }

  async end(): Promise<void> {
    const child = this.#child
    child.stdin?.end()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    if (child.exitCode !== 0) throw new FoundFault('the other process failed; see above')
  }

  [Symbol.dispose](): void {
    this.#child.kill()
  }
}
