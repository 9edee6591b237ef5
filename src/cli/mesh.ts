/** `agent-store mesh`: keys of the mesh, who is on it, and bells over it. @module */
import { follow, type Selection } from '../follow/index.ts'
import { type CommitEvent, commitEventToJson, SchemaError, WriterLog } from '../index.ts'
import {
  Agent,
  DOORBELL_CAPABILITY,
  defaultKeyPath,
  fingerprintOf,
  formatPeer,
  IrohTransport,
  KeyPair,
  MdnsPeers,
  MeshBell,
  MeshBus,
  type Peer,
  PeerList,
  parsePeer,
  quotePeer,
  readKeyFile,
  writeKeyFile,
} from '../mesh/index.ts'
import { type Command, integerOption, UsageError } from './command.ts'
import { type Output, printable, printableName } from './output.ts'
import { hasLog, openForReading } from './store.ts'

const KEY = { key: { type: 'string' } } as const
const KEY_HELP = {
  '--key FILE': "the user's key (default $AMESH_HOME/user.key, or ~/.agent-mesh/user.key)",
}
const DISCOVERY = { interface: { type: 'string' } } as const
const DISCOVERY_HELP = {
  '--interface IP': 'the address of the interface to discover on (default: the system chooses)',
}
const NETWORK = {
  ...KEY,
  role: { type: 'string' },
  listen: { type: 'string' },
  json: { type: 'boolean' },
} as const
const NETWORK_HELP = {
  ...KEY_HELP,
  '--role NAME': 'what this agent is called in its certificate (default cli)',
  '--listen IP:PORT': 'where to listen, several with commas (default all interfaces, any port)',
  '--json': 'one JSON object a line',
}

/** For how long to look for others before they are told. */
const DISCOVERY_MS = 3_000

type Options = Readonly<Record<string, string | boolean | undefined>>

export const keygen: Command = {
  summary: "Make the user's key, which lets agents onto the mesh. Never overwrites one.",
  args: [],
  takesStore: false,
  options: KEY,
  optionHelp: KEY_HELP,
  run({ options, out }) {
    const path = keyPath(options)
    const key = KeyPair.generate()
    writeKeyFile(path, key)
    out.line(`${key.fingerprint.toHex()}  ${path}`)
  },
}

export const whoami: Command = {
  summary: "Show the user's fingerprint, by which agents of one team know each other.",
  args: [],
  takesStore: false,
  options: KEY,
  optionHelp: KEY_HELP,
  run({ options, out }) {
    const path = keyPath(options)
    out.line(`${readKeyFile(path).fingerprint.toHex()}  ${path}`)
  },
}

export const peers: Command = {
  summary: "Show the agents of the user's team that announce themselves on the local network.",
  args: [],
  takesStore: false,
  options: { ...KEY, ...DISCOVERY, for: { type: 'string' }, json: { type: 'boolean' } },
  optionHelp: {
    '--for SECONDS': 'how long to listen (default 3)',
    ...DISCOVERY_HELP,
    '--json': 'one JSON object a line',
    ...KEY_HELP,
  },
  notes: 'What they announce is a claim; who they are is proved when they are connected to.',
  async run({ options, out }) {
    const seconds = integerOption(options.for, '--for') ?? 3n
    const user = readKeyFile(keyPath(options))
    await using found = await MdnsPeers.open(user.fingerprint, interfaceOf(options))
    await new Promise((done) => setTimeout(done, 1_000 * Number(seconds)))
    const list = found.list()
    if (options.json) {
      for (const peer of list) {
        const { role, host, capabilities } = peer
        const agent = peer.agent.toHex()
        out.line(JSON.stringify({ agent, role, host, capabilities, peer: formatPeer(peer) }))
      }
    } else if (list.length > 0) {
      out.table(
        ['agent', 'role', 'host', 'peer'],
        list.map((peer) => [
          peer.agent.short(),
          printable(peer.role),
          printable(peer.host),
          printable(formatPeer(peer)),
        ]),
      )
    }
  },
}

export const listen: Command = {
  summary: 'Show the bells of other agents as they ring, or the entries that they announce.',
  args: ['[stream]'],
  takesStore: false,
  options: { ...NETWORK, ...DISCOVERY, announce: { type: 'boolean' }, count: { type: 'string' } },
  optionHelp: {
    '--announce': 'let others find it by multicast DNS',
    ...DISCOVERY_HELP,
    '--store STORE': 'follow this store, and show its entries in place of the bells',
    '--count N': 'end after N bells or entries',
    ...NETWORK_HELP,
  },
  notes: 'Says first where it listens, as others name it: --peer KEY@IP:PORT.',
  async run({ store, args: [stream], options, out }) {
    const most = integerOption(options.count, '--count')
    await using bus = await join(options)
    await using found = options.announce ? await discover(bus, options) : undefined
    found?.announce(bus.agent, bus.peer)
    say(out, options, `listening as ${formatPeer(bus.peer)}`, { peer: formatPeer(bus.peer) })
    using bell = new MeshBell(bus, {
      ...(stream === undefined ? {} : { streams: [stream] }),
      onRejected: ({ message }, from) => {
        process.stderr.write(`agent-store: ${from.short()}: ${quotePeer(message)}\n`)
      },
    })
    if (store === '') await showBells(bell, most, options, out)
    else await showEntries(bell, store, stream, most, options, out)
  },
}

export const ring: Command = {
  summary: 'Tell other agents where the logs of a store stand, and with --follow of each commit.',
  args: ['[stream]'],
  options: {
    ...NETWORK,
    ...DISCOVERY,
    peer: { type: 'string', multiple: true },
    discover: { type: 'boolean' },
    follow: { type: 'boolean' },
  },
  optionHelp: {
    '--peer KEY@IP:PORT': 'whom to tell, as its listen says; may be given several times',
    '--discover': 'tell those that announce themselves, too (3 seconds are given to find them)',
    ...DISCOVERY_HELP,
    '--follow': 'go on with each commit, by whatever process',
    ...NETWORK_HELP,
  },
  async run({ store, args: [stream], options, lists, out }) {
    const named = peersOf(lists.peer ?? [])
    if (named.length === 0 && !options.discover) {
      throw new UsageError('nobody to tell; name somebody by --peer, or --discover them')
    }
    using db = openForReading(store, { reconnect: true })
    if (!hasLog(db)) throw new SchemaError('the store has no log yet; append to it first')
    await using bus = await join(options)
    await using found = options.discover ? await discover(bus, options) : undefined
    if (found !== undefined) await new Promise((done) => setTimeout(done, DISCOVERY_MS))
    let failed = 0
    using bell = new MeshBell(bus, {
      peers: new Everybody(named, found),
      onUnreached: ({ message }, peer) => {
        failed++
        process.stderr.write(`agent-store: ${formatPeer(peer)}: ${quotePeer(message)}\n`)
      },
    })
    const streams = stream === undefined ? WriterLog.streams(db) : [stream]
    const heads = streams.flatMap((name) => WriterLog.heads(db, name))
    for (const head of heads) {
      bell.ring(head)
      show(out, options, head)
    }
    await bell.idle()
    if (options.follow) {
      const selection: Selection = stream === undefined ? {} : { stream }
      for await (const entry of follow(db, { ...selection, after: heads })) {
        bell.ring(entry)
        show(out, options, entry)
      }
    }
    if (failed > 0) throw new Error(`bells that did not reach their peer: ${failed}`)
  },
}

function keyPath({ key }: Options): string {
  return typeof key === 'string' ? key : defaultKeyPath()
}

async function join(options: Options): Promise<MeshBus> {
  const user = readKeyFile(keyPath(options))
  const { role, listen } = options
  const agent = Agent.issue(user, {
    role: typeof role === 'string' ? role : 'cli',
    capabilities: [DOORBELL_CAPABILITY],
  })
  const where = typeof listen === 'string' ? { listen: listen.split(',') } : {}
  return MeshBus.bind({ agent, transport: await IrohTransport.bind(agent.key, where) })
}

function interfaceOf({ interface: address }: Options): { interface?: string } {
  return typeof address === 'string' ? { interface: address } : {}
}

/** Those who announce that they want bells. */
function discover(bus: MeshBus, options: Options): Promise<MdnsPeers> {
  const capability = DOORBELL_CAPABILITY
  return MdnsPeers.open(bus.agent.user, { capability, ...interfaceOf(options) })
}

/** Those who were named, and whoever is found. */
class Everybody extends PeerList {
  readonly #found: MdnsPeers | undefined

  constructor(named: readonly Peer[], found: MdnsPeers | undefined) {
    super(named)
    this.#found = found
  }

  override list(): readonly Peer[] {
    const named = super.list()
    const known = new Set(named.map((peer) => fingerprintOf(peer).toHex()))
    const found = this.#found?.list() ?? []
    return [...named, ...found.filter(({ agent }) => !known.has(agent.toHex()))]
  }
}

function peersOf(texts: readonly string[]): Peer[] {
  return texts.map((text) => parsePeer(text))
}

async function showBells(
  bell: MeshBell,
  most: bigint | undefined,
  options: Options,
  out: Output,
): Promise<void> {
  if (most === 0n) return
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = most
  bell.subscribe((event) => {
    if (event === undefined) return
    show(out, options, event)
    if (left !== undefined && --left === 0n) resolve()
  })
  await promise
}

async function showEntries(
  bell: MeshBell,
  store: string,
  stream: string | undefined,
  most: bigint | undefined,
  options: Options,
  out: Output,
): Promise<void> {
  using db = openForReading(store, { reconnect: true })
  const selection: Selection = stream === undefined ? {} : { stream }
  let left = most
  for await (const entry of follow(db, {
    ...selection,
    bells: [bell],
    verify: true,
    onFork: ({ message }) => process.stderr.write(`agent-store: ${message}\n`),
  })) {
    show(out, options, entry)
    if (left !== undefined && --left === 0n) break
  }
}

function show(out: Output, { json }: Options, event: CommitEvent): void {
  const { stream, writer, seq, contentHash } = event
  const hash = Buffer.from(contentHash).toString('hex', 0, 6)
  if (json) out.line(JSON.stringify(commitEventToJson(event)))
  else out.line(`${printableName(stream)}  ${printableName(writer)}  ${seq}  ${hash}`)
  out.flush()
}

function say(out: Output, { json }: Options, text: string, fields: object): void {
  out.line(json ? JSON.stringify(fields) : text)
  out.flush()
}
