/**
 * One of two hosts: a process with a bus at its own address. The one that knows a peer appends
 * and rings; the other follows the same file through connections that hear nothing of it, one
 * woken by the mesh alone, one with no bell at all. It ends with its parent.
 */
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { type FollowOptions, follow } from 'agent-store/follow'
import {
  Agent,
  formatPeer,
  IrohTransport,
  MeshBell,
  MeshBus,
  parsePeer,
  readKeyFile,
} from 'agent-store/mesh'

const [, , keyFile = '', file = ''] = process.argv
const tell = (report: object) => process.send?.(report)

async function append(peer: string): Promise<void> {
  using db = SqliteBackend.open(file)
  using mesh = new MeshBell(bus, {
    peers: [parsePeer(peer)],
    onUnreached: ({ code }) => tell({ unreached: code }),
  })
  const local = new Doorbell()
  local.tie(db)
  local.subscribe((event) => mesh.ring(event))
  tell({ isReady: true })
  for (;;) {
    const [{ appends }] = await once(process, 'message')
    for (let i = 0; i < appends; i++) {
      const start = performance.now()
      const { seq } = WriterLog.append(db, 'hosts', 'a', `entry ${i}`)
      const took = performance.now() - start
      tell({ appended: Number(seq), took, at: String(process.hrtime.bigint()) })
      await sleep(10)
    }
  }
}

async function read(by: 'bell' | 'look', options: FollowOptions): Promise<void> {
  const connection = new DatabaseSync(file, { timeout: 1_000 })
  const db = SqliteBackend.fromConnection(connection)
  for await (const { seq } of follow(db, { stream: 'hosts', verify: true, ...options })) {
    tell({ by, read: Number(seq), at: String(process.hrtime.bigint()) })
  }
}

process.on('disconnect', () => process.exit())
tell({ isUp: true })
const [{ address, peer, pollMs }] = await once(process, 'message')
const agent = Agent.issue(readKeyFile(keyFile), { role: 'host' })
const transport = await IrohTransport.bind(agent.key, { listen: [`${address}:0`] })
// Above a second, after which QUIC sends its first packet again.
const limits = { dialTimeoutMs: 2_500, handshakeTimeoutMs: 1_000 }
const bus = MeshBus.bind({ agent, transport, limits, keepConnections: true })
if (typeof peer === 'string') await append(peer)
else {
  using mesh = new MeshBell(bus)
  const here = bus.peer.addresses.filter((place) => place.startsWith(address))
  tell({ peer: formatPeer({ ...bus.peer, addresses: here }) })
  await Promise.all([
    read('bell', { bells: [mesh], pollMs: 60_000 }),
    read('look', { pollMs: Number(pollMs) }),
  ])
}
