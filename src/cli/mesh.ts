/** `agent-store mesh`: keys of the mesh, who is on it, and bells over it. @module */
import { follow, type Selection } from '../follow/index.ts'
import { type CommitEvent, commitEventToJson, WriterLog } from '../index.ts'
import {
  Agent,
  DOORBELL_CAPABILITY,
  defaultKeyPath,
  formatPeer,
  IrohTransport,
  KeyPair,
  MeshBell,
  MeshBus,
  type Peer,
  parsePeer,
  quotePeer,
  readKeyFile,
  writeKeyFile,
} from '../mesh/index.ts'
import { type Command, integerOption, UsageError } from './command.ts'
import { type Output, printableName } from './output.ts'
import { hasLog, openForReading } from './store.ts'

const KEY = { key: { type: 'string' } } as const
const KEY_HELP = {
  '--key FILE': "the user's key (default $AMESH_HOME/user.key, or ~/.agent-mesh/user.key)",
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

type Options = Readonly<Record<string, string | boolean | undefined>>

/** Each action is a command of its own, as `mesh keygen` and so on. */
export const meshes: Readonly<Record<string, Command>> = {
  keygen: {
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
  },
  whoami: {
    summary: "Show the user's fingerprint, by which agents of one team know each other.",
    args: [],
    takesStore: false,
    options: KEY,
    optionHelp: KEY_HELP,
    run({ options, out }) {
      const path = keyPath(options)
      out.line(`${readKeyFile(path).fingerprint.toHex()}  ${path}`)
    },
  },
  listen: {
    summary: 'Show the bells of other agents as they ring, or the entries that they announce.',
    args: ['[stream]'],
    takesStore: false,
    options: { ...NETWORK, count: { type: 'string' } },
    optionHelp: {
      '--store STORE': 'follow this store, and show its entries in place of the bells',
      '--count N': 'end after N bells or entries',
      ...NETWORK_HELP,
    },
    notes: 'Says first where it listens, as others name it: --peer KEY@IP:PORT.',
    async run({ store, args: [stream], options, out }) {
      const most = integerOption(options.count, '--count')
      await using bus = await join(options)
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
  },
  ring: {
    summary: 'Tell other agents where the logs of a store stand, and with --follow of each commit.',
    args: ['[stream]'],
    options: { ...NETWORK, peer: { type: 'string', multiple: true }, follow: { type: 'boolean' } },
    optionHelp: {
      '--peer KEY@IP:PORT': 'whom to tell, as its listen says; may be given several times',
      '--follow': 'go on with each commit, by whatever process',
      ...NETWORK_HELP,
    },
    async run({ store, args: [stream], options, lists, out }) {
      const peers = peersOf(lists.peer ?? [])
      using db = openForReading(store, { reconnect: true })
      if (!hasLog(db)) return
      await using bus = await join(options)
      let failed = 0
      using bell = new MeshBell(bus, {
        peers,
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

function peersOf(texts: readonly string[]): Peer[] {
  if (texts.length === 0) throw new UsageError('nobody to tell; name somebody by --peer')
  return texts.map((text) => {
    try {
      return parsePeer(text)
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : String(error))
    }
  })
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
