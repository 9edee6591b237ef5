/** The other end of the discovery test: a process that announces a bus and tells what it hears. */
import { once } from 'node:events'
import { Agent, IrohTransport, MdnsPeers, MeshBus, readKeyFile } from 'agent-store/mesh'

const [, , keyFile = '', address = ''] = process.argv
const agent = Agent.issue(readKeyFile(keyFile), { role: 'child', capabilities: ['a', 'b'] })
const transport = await IrohTransport.bind(agent.key)
const peers = await MdnsPeers.open(agent.user, { interface: address })
const bus = MeshBus.bind({ agent, transport, peers })
bus.subscribe('news', ({ sender }) => {
  process.send?.({ told: sender.toHex() })
})
peers.announce(agent, transport)
process.send?.({ agent: agent.fingerprint.toHex() })
await once(process, 'disconnect')
await peers.close()
await bus.close()
