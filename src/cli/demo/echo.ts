/**
 * The other process of the demo's bells: answers each ping with a pong, until its standard input
 * ends.
 *
 * Arguments: `store` and the store; or `mesh`, the file, the user's key and the peer to tell.
 *
 * @module
 */
import { type Bell, follow, headsOf } from '../../follow/index.ts'
import { type Backend, WriterLog } from '../../index.ts'
import { formatPeer } from '../../mesh/index.ts'
import { joinMesh, meshBellOf, openDeaf, openHearing, PING, PONG } from './bells.ts'

const [, , kind, store = '', keyFile = '', peer = ''] = process.argv

async function echo(db: Backend, bells: readonly Bell[], ready: string): Promise<void> {
  const over = new AbortController()
  process.stdin.once('end', () => over.abort()).resume()
  const pings = follow(db, { ...PING, after: headsOf(db, PING), bells, signal: over.signal })
  const first = pings.next()
  console.log(ready)
  try {
    for (let next = await first; next.done !== true; next = await pings.next()) {
      WriterLog.append(db, PONG.stream, PONG.writer, `pong to ${next.value.seq}`)
    }
  } catch (error) {
    if (!over.signal.aborted) throw error
  }
}

if (kind === 'mesh') {
  await using bus = await joinMesh(keyFile, 'pong')
  const db = openDeaf(store)
  using mesh = meshBellOf(bus, db, peer)
  await echo(db, [mesh], formatPeer(bus.peer))
} else {
  using db = openHearing(store)
  await echo(db, [], 'ready')
}
