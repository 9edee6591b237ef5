/**
 * The other end of the iroh test: a process that binds a bus on loopback, echoes requests, and
 * tells its parent what it was told.
 */
import { Agent, formatPeer, IrohTransport, MeshBus, readKeyFile } from 'agent-store/mesh'

const [, , keyFile = ''] = process.argv
const agent = Agent.issue(readKeyFile(keyFile), { role: 'child' })
const transport = await IrohTransport.bind(agent.key, { listen: ['127.0.0.1:0', '[::1]:0'] })
const bus = MeshBus.bind({ agent, transport })
bus.subscribe('news', ({ body, sender }) => {
  process.send?.({ body: Buffer.from(body).toString(), sender: sender.toHex() })
})
bus.handle('echo', ({ body }) => body)
process.on('disconnect', () => void bus.close())
process.send?.({ peer: formatPeer(bus.peer) })
