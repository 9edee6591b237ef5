/**
 * The mesh against the real Rust bus, 0.6.2 and the newest: keys, certificates, messages both
 * ways, and what each side refuses, over QUIC on loopback.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Fingerprint } from 'agent-store'
import {
  Agent,
  type BusOptions,
  type Delivery,
  defaultKeyPath,
  Envelope,
  IrohTransport,
  KeyPair,
  MdnsPeers,
  MeshBus,
  MeshError,
  type Peer,
  readKeyFile,
  UNRESTRICTED,
  writeKeyFile,
} from 'agent-store/mesh'
import { encodeBusMessage } from '../src/mesh/bus-message.ts'
import { ENVELOPE_FRAME_BYTES, encodeFrame, HANDSHAKE_FRAME_BYTES } from '../src/mesh/frame.ts'
import { FramedStream } from '../src/mesh/framed-stream.ts'
import { greet } from '../src/mesh/handshake.ts'
import { Trust } from '../src/mesh/identity/trust.ts'
import { buildRust } from './rust.ts'
import { type Bound, peerOf, placeOf, RustPeer } from './rust-peer.ts'

/** Where to announce, inside a network of its own. */
const INTERFACE = process.env.AMESH_INTERFACE
const LISTEN = ['127.0.0.1:0', '[::1]:0']
const TOPIC = 'agent-store/doorbell/v1/notes'

async function runLane(lane: string, program: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'agent-store-mesh-'))
  try {
    for (const [name, run] of Object.entries(CASES)) {
      const started = performance.now()
      const scene = new Scene(lane, program, folder)
      try {
        const found = await run(scene)
        const took = Math.round(performance.now() - started)
        const note = typeof found === 'string' ? ` (${found})` : ''
        const isSkipped = note.startsWith(' (skipped: ')
        const outcome = isSkipped ? `skipped: ${name}: ${note.slice(11, -1)}` : `ok: ${name}${note}`
        console.log(`agent-mesh-bus ${lane}: ${outcome}, ${took} ms`)
      } finally {
        await scene.end()
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What one case has started. */
class Scene {
  readonly lane: string
  readonly keyFile: string
  readonly errors: MeshError[] = []
  readonly #program: string
  readonly #folder: string
  readonly #ends: (() => Promise<void>)[] = []

  constructor(lane: string, program: string, folder: string) {
    this.lane = lane
    this.#program = program
    this.#folder = folder
    this.keyFile = join(folder, `user-${randomBytes(4).toString('hex')}.key`)
  }

  rust(): RustPeer {
    const peer = new RustPeer(this.#program)
    this.#ends.push(() => peer.kill())
    return peer
  }

  /** A Rust bus, subscribed to the topic. */
  async rustBus(more: Record<string, unknown> = {}): Promise<{ rust: RustPeer; bound: Bound }> {
    const rust = this.rust()
    const bound = await rust.bind(this.keyFile, more)
    await rust.say('subscribe', { topic: TOPIC })
    return { rust, bound }
  }

  get user(): KeyPair {
    return readKeyFile(this.keyFile)
  }

  /** A folder that is not there yet. */
  home(): string {
    return join(this.#folder, `home-${randomBytes(4).toString('hex')}`)
  }

  otherKeyFile(): string {
    return join(this.#folder, `other-${randomBytes(4).toString('hex')}.key`)
  }

  /** A bus of ours. */
  async bus(
    agent: Agent = Agent.issue(this.user, { role: 'ts' }),
    { listen = LISTEN, ...more }: Partial<BusOptions> & { listen?: readonly string[] } = {},
  ): Promise<MeshBus> {
    const transport = await IrohTransport.bind(agent.key, { listen })
    const onRejected = (error: MeshError) => void this.errors.push(error)
    const bus = MeshBus.bind({ agent, transport, onRejected, ...more })
    this.#ends.push(() => bus.close())
    return bus
  }

  /** Agents of the user that announce themselves. */
  async mdns(user: Fingerprint = this.user.fingerprint): Promise<MdnsPeers> {
    const peers = await MdnsPeers.open(
      user,
      INTERFACE === undefined ? {} : { interface: INTERFACE },
    )
    this.#ends.push(() => peers.close())
    return peers
  }

  /** An end of ours without a bus. */
  async transport(agent: Agent): Promise<IrohTransport> {
    const transport = await IrohTransport.bind(agent.key, { listen: LISTEN })
    this.#ends.push(() => transport.close())
    return transport
  }

  async end(): Promise<void> {
    for (const end of this.#ends) await end()
  }
}

/** Resolves with so many messages that a bus of ours was told. */
function told(bus: MeshBus, count: number): Promise<Delivery[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Delivery[]>()
  const seen: Delivery[] = []
  const late = setTimeout(() => reject(new Error(`told ${seen.length} of ${count}`)), 20_000)
  bus.subscribe(TOPIC, (delivery) => {
    seen.push(delivery)
    if (seen.length < count) return
    clearTimeout(late)
    resolve(seen)
  })
  return promise
}

const bodies = (count: number) =>
  Array.from({ length: count }, (_, i) => Buffer.from(`body ${i} ✎`))
const median = (times: number[]) =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]?.toFixed(1)

/** One handshake and these bytes, on a connection of its own. */
async function sendRaw(
  transport: IrohTransport,
  to: Peer,
  agent: Agent,
  bytes: Uint8Array,
): Promise<void> {
  const connection = await transport.dial(to, AbortSignal.timeout(5_000))
  const stream = new FramedStream(await connection.openStream())
  await greet(stream, new Trust(agent.certificate), connection.remoteKey)
  await stream.write(bytes)
  await stream.finish()
  connection.close()
}

/** What a program printed. @throws Error when it fails. */
async function run(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { env })
  return stdout
}

/** Where to dial a bus of ours: what a Rust peer is told is one address. */
const ours = (bus: MeshBus): Peer => bus.peer

const CASES: Readonly<Record<string, (scene: Scene) => Promise<unknown>>> = {
  'key files, written there and read here, and the other way round': async (scene) => {
    const rust = scene.rust()
    const theirs = await rust.bind(scene.keyFile)
    assert.equal(scene.user.fingerprint.toHex(), theirs.user)
    const path = scene.otherKeyFile()
    const user = KeyPair.generate()
    writeKeyFile(path, user)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    const other = await scene.rust().bind(path)
    assert.equal(other.user, user.fingerprint.toHex())
  },

  '100 messages from here, a connection for each': (scene) => publishThere(scene, false),
  '100 messages from here, on a kept connection': (scene) => publishThere(scene, true),

  '100 messages from there': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const bus = await scene.bus()
    const all = told(bus, 100)
    for (const body of bodies(100)) await rust.publish(ours(bus), TOPIC, body)
    const deliveries = await all
    assert.deepEqual(
      deliveries.map(({ body }) => Buffer.from(body)),
      bodies(100),
    )
    assert.equal(deliveries[0]?.topic, TOPIC)
    assert.equal(deliveries[0]?.certificate.metadata.role, 'rust-peer')
    assert.equal(deliveries[0]?.certificate.user.toHex(), bound.user)
    if (scene.lane !== '0.6.2') assert.equal(deliveries[0]?.sender.toHex(), bound.agent)
    assert.deepEqual(scene.errors, [])
  },

  '200 messages each way at once': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const bus = await scene.bus()
    const all = told(bus, 200)
    const here = (async () => {
      for (const body of bodies(200)) await bus.publish(peerOf(bound), TOPIC, body)
    })()
    for (const body of bodies(200)) await rust.publish(ours(bus), TOPIC, body)
    await here
    assert.equal((await all).length, 200)
    assert.deepEqual(await rust.toldAll(200), bodies(200))
  },

  'another user is refused by both': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const stranger = await scene.bus(Agent.issue(KeyPair.generate(), { role: 'stranger' }))
    await assert.rejects(stranger.publish(peerOf(bound), TOPIC, 'x'), {
      code: 'MESH_DIFFERENT_USER',
    })
    const heard = await rust.publish(ours(stranger), TOPIC, Buffer.from('x')).catch(String)
    assert.match(String(heard), /user/i)
    assert.deepEqual(rust.told, [])
    return String(heard)
  },

  'forged, replayed and out of order: nothing is told, and the next is': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const agent = Agent.issue(scene.user, { role: 'ts' })
    const transport = await scene.transport(agent)
    const to = peerOf(bound)
    const topic = `${bound.user}:${TOPIC}`
    const recipient = {
      kind: 'direct',
      agent: Fingerprint.fromHex(bound.agent),
    } as const
    const seal = (sequence: bigint, body: string) =>
      encodeFrame(
        Envelope.seal(agent, {
          recipient,
          sequence,
          payload: encodeBusMessage({ kind: 'publish', topic, body: Buffer.from(body) }),
        }).toJson(),
        ENVELOPE_FRAME_BYTES,
      )
    const flip = (frame: Uint8Array, member: string) => {
      const text = Buffer.from(frame).toString('latin1')
      const at = text.indexOf('[', text.indexOf(`"${member}"`)) + 1
      const other = text[at] === '1' ? '2' : '1'
      return new Uint8Array(Buffer.from(text.slice(0, at) + other + text.slice(at + 1), 'latin1'))
    }
    const good = seal(1n, 'good')
    for (const bytes of [
      flip(seal(1n, 'bad'), 'payload'),
      flip(seal(1n, 'bad'), 'issuer_sig'),
      flip(seal(1n, 'bad'), 'agent_sig'),
      seal(0n, 'bad'),
      good,
      good,
      seal(1n, 'bad'),
      seal(1n, 'bad').subarray(0, 500),
    ]) {
      await sendRaw(transport, to, agent, bytes)
    }
    await sendRaw(transport, to, agent, seal(2n, 'last'))
    await rust.toldAll(2)
    assert.deepEqual(rust.told.map(String), ['good', 'last'])
  },

  "a certificate of another agent's: theirs as it does, ours refuses": async (scene) => {
    const { bound } = await scene.rustBus()
    const agent = Agent.issue(scene.user, { role: 'ts' })
    const other = Agent.issue(scene.user, { role: 'other' })
    const transport = await scene.transport(agent)
    const attempt = sendRaw(transport, peerOf(bound), other, encodeFrame(new Uint8Array(), 16))
    const outcome = await attempt.then(
      () => 'taken',
      (error: unknown) => (error instanceof MeshError ? error.code : String(error)),
    )
    assert.equal(outcome === 'taken', scene.lane === '0.6.2', outcome)
    const bus = await scene.bus()
    await assert.rejects(sendRaw(transport, ours(bus), other, new Uint8Array()), {
      code: 'MESH_HANDSHAKE',
    })
    return `theirs: ${outcome}`
  },

  'requests from here': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    await rust.say('echo', { topic: 'echo' })
    const bus = await scene.bus()
    const times: number[] = []
    for (let i = 0; i < 20; i++) {
      const started = performance.now()
      const answer = await bus.request(peerOf(bound), 'echo', `ask ${i}`)
      times.push(performance.now() - started)
      assert.equal(Buffer.from(answer).toString(), `ask ${i}`)
    }
    return `median ${median(times)} ms`
  },

  'requests from there': async (scene) => {
    if (scene.lane === '0.6.2') return 'skipped: 0.6.2 asks by name alone, see below'
    const { rust } = await scene.rustBus()
    const bus = await scene.bus()
    bus.handle('echo', ({ body }) => body)
    for (let i = 0; i < 20; i++) {
      const body = Buffer.from(`ask ${i}`).toString('hex')
      const [addr] = bus.peer.addresses
      const pub = Buffer.from(bus.peer.publicKey).toString('hex')
      const answer = await rust.say('request', { pub, addr, topic: 'echo', body })
      assert.equal(answer.body, body)
    }
  },

  'chains of delegation, and certificates limited to generations': async (scene) => {
    for (const depth of [1, 2, 3]) {
      const { rust, bound } = await scene.rustBus({ depth })
      let agent = Agent.issue(scene.user, { role: 'ts' })
      for (let i = 1; i < depth; i++) agent = agent.delegate({ role: 'sub' })
      const bus = await scene.bus(agent)
      await bus.publish(peerOf(bound), TOPIC, `depth ${depth}`)
      assert.deepEqual((await rust.toldAll(1)).map(String), [`depth ${depth}`])
      const all = told(bus, 1)
      await rust.publish(ours(bus), TOPIC, Buffer.from('back'))
      assert.equal((await all)[0]?.certificate.depth, depth)
    }
    const caveats = { ...UNRESTRICTED, validForGeneration: { only: [1n] } }
    const limited = await scene.bus(Agent.issue(scene.user, { role: 'ts', caveats }))
    const { bound } = await scene.rustBus()
    const there = await limited.publish(peerOf(bound), TOPIC, 'x').then(
      () => 'taken',
      (error: unknown) => (error instanceof MeshError ? error.code : String(error)),
    )
    if (scene.lane !== '0.6.2') assert.equal(there, 'MESH_BAD_CERT_CHAIN')
    const bad = { generation: true }
    if (scene.lane !== '0.6.2') {
      await assert.rejects(scene.rustBus(bad), /generation/)
      return `a limited one of ours, there: ${there}; theirs does not bind with one`
    }
    const bus = await scene.bus()
    const { rust } = await scene.rustBus(bad)
    const heard = await rust.publish(ours(bus), TOPIC, Buffer.from('x')).catch(String)
    assert.match(String(heard), /cert/i)
    // We note it when the peer's machine has our refusal, a moment after the peer reads it.
    for (let i = 0; i < 100 && scene.errors.length === 0; i++) await sleep(20)
    assert.deepEqual(
      scene.errors.map(({ code }) => code),
      ['MESH_BAD_CERT_CHAIN'],
    )
    return `a limited one of ours, there: ${there}; theirs, here: ${heard}`
  },

  'bodies of 0 bytes to 100 KiB, and one that no envelope holds': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const bus = await scene.bus()
    const sizes = [0, 1, 4_096, 102_400]
    const sent = sizes.map((size) => randomBytes(size))
    const all = told(bus, sizes.length)
    for (const body of sent) {
      await bus.publish(peerOf(bound), TOPIC, body)
      await rust.publish(ours(bus), TOPIC, body)
    }
    assert.deepEqual(await rust.toldAll(sizes.length), sent)
    assert.deepEqual(
      (await all).map(({ body }) => Buffer.from(body)),
      sent,
    )
    await assert.rejects(bus.publish(peerOf(bound), TOPIC, new Uint8Array(2_000_000).fill(200)), {
      code: 'MESH_FRAME',
    })
    assert.equal(HANDSHAKE_FRAME_BYTES, 16_384)
  },

  'found by multicast DNS, by both; goodbyes heard by both; found again': async (scene) => {
    if (INTERFACE === undefined) return 'skipped: no network of its own to announce in'
    const { rust, bound } = await scene.rustBus({ announce: true })
    const agent = Agent.issue(scene.user, { role: 'ts', capabilities: ['agent-store-doorbell'] })
    const peers = await scene.mdns()
    // A bus that knows nobody: its replies go to where the request came from.
    const bus = await scene.bus(agent, { listen: ['0.0.0.0:0'] })
    peers.announce(agent, bus.peer)
    const find = async ({ agent: hex }: Bound): Promise<Peer> => {
      const found = await peers.resolve(Fingerprint.fromHex(hex), AbortSignal.timeout(5_000))
      return found ?? assert.fail(`${hex} was not found`)
    }
    const fp = agent.fingerprint.toHex()
    await bus.publish(await find(bound), TOPIC, 'by name')
    assert.deepEqual((await rust.toldAll(1)).map(String), ['by name'])
    assert.deepEqual(
      peers.list().map(({ role, host, capabilities }) => [role, host, capabilities]),
      [['rust-peer', 'interop', ['agent-store-doorbell']]],
    )
    const all = told(bus, 1)
    await rust.say('publish_fp', { fp, topic: TOPIC, body: '6869' })
    assert.equal(Buffer.from((await all)[0]?.body ?? []).toString(), 'hi')
    bus.handle('echo', ({ body }) => body)
    const place = { fp, ...placeOf(bus.peer) }
    const answer = await rust.say('request', { ...place, topic: 'echo', body: '6869' })
    assert.equal(answer.body, '6869')
    await rust.say('close')
    for (let i = 0; i < 150 && peers.list().length > 0; i++) await sleep(20)
    assert.deepEqual(peers.list(), [])
    const again = await scene.rustBus({ announce: true })
    await bus.publish(await find(again.bound), TOPIC, 'found again')
    assert.deepEqual((await again.rust.toldAll(1)).map(String), ['found again'])
    await again.rust.say('publish_fp', { fp, topic: TOPIC, body: '' })
    await peers.close()
    await sleep(1_500)
    const gone = again.rust.say('publish_fp', { fp, topic: TOPIC, body: '' })
    await assert.rejects(gone, /not announced/)
    return 'asked by name, too'
  },

  'amesh listens, and lists our agent': async (scene) => {
    const amesh = process.env.AMESH
    if (INTERFACE === undefined) return 'skipped: no network of its own to announce in'
    if (amesh === undefined || scene.lane !== '0.6.2') {
      return 'skipped: AMESH names no amesh of 0.6.2 (cargo install agent-mesh-cli@0.6.2)'
    }
    const home = scene.home()
    const environment = { ...process.env, AMESH_HOME: home }
    execFileSync(amesh, ['keygen'], { env: environment, stdio: 'ignore' })
    const user = readKeyFile(defaultKeyPath(environment))
    const agent = Agent.issue(user, { role: 'ts', host: 'here', capabilities: ['a', 'b'] })
    const peers = await scene.mdns(user.fingerprint)
    const bus = await scene.bus(agent, { peers, listen: ['0.0.0.0:0'] })
    peers.announce(agent, bus.peer)

    const listening = run(amesh, ['listen', '--duration', '6s'], environment)
    while (peers.list().length === 0) await sleep(50)
    assert.deepEqual(
      peers.list().map(({ role, capabilities }) => [role, capabilities]),
      [['amesh-listen', []]],
    )
    for (const peer of peers.list()) await bus.publish(peer.agent, TOPIC, 'heard')
    const line = (await listening).split('\n').find((one) => one.startsWith('{')) ?? ''
    const { sender_agent_fp, sender_user_fp, sequence, payload } = JSON.parse(line)
    assert.deepEqual(
      [sender_agent_fp, sender_user_fp, sequence, payload.encoding],
      [agent.fingerprint.toHex(), user.fingerprint.toHex(), 1, 'utf8'],
    )
    const topic = `${user.fingerprint}:${TOPIC}`
    const message = encodeBusMessage({ kind: 'publish', topic, body: Buffer.from('heard') })
    assert.equal(payload.text, Buffer.from(message).toString())

    const listed = await run(amesh, ['peers', '--listen', '3s', '--same-user'], environment)
    const row = listed.split('\n').find((one) => one.includes(agent.fingerprint.short())) ?? ''
    assert.match(row, /ts@here/)
    assert.match(row, /a,\s*b/)
    return row.trim()
  },

  'killed while it is sent to: the sender fails in time and goes on': async (scene) => {
    const { rust, bound } = await scene.rustBus()
    const limits = { dialTimeoutMs: 2_000, handshakeTimeoutMs: 1_000, envelopeTimeoutMs: 1_000 }
    const bus = await scene.bus(undefined, { limits })
    await bus.publish(peerOf(bound), TOPIC, 'before')
    setTimeout(() => void rust.kill(), 30)
    const started = performance.now()
    let failure: unknown
    while (failure === undefined) {
      failure = await bus.publish(peerOf(bound), TOPIC, 'x').then(
        () => undefined,
        (error: unknown) => error,
      )
    }
    const took = Math.round(performance.now() - started)
    const again = await scene.rustBus()
    await bus.publish(peerOf(again.bound), TOPIC, 'after')
    assert.deepEqual((await again.rust.toldAll(1)).map(String), ['after'])
    return `${(failure as Error).name} after ${took} ms`
  },
}

async function publishThere(scene: Scene, keepConnections: boolean): Promise<string> {
  const { rust, bound } = await scene.rustBus()
  const bus = await scene.bus(undefined, { keepConnections })
  const times: number[] = []
  for (const body of bodies(100)) {
    const started = performance.now()
    await bus.publish(peerOf(bound), TOPIC, body)
    await rust.toldAll(times.length + 1)
    times.push(performance.now() - started)
  }
  await sleep(50)
  assert.deepEqual(rust.told, bodies(100))
  return `median ${median(times)} ms`
}

const LANES = [
  ['0.6.2', 'rust-peer', 'AMESH_RUST_PEER'],
  ['0.8.3', 'rust-peer-08', 'AMESH_RUST_PEER_08'],
] as const

/**
 * Built here, run in a network of its own where that may be had: the Rust bus listens on every
 * interface, and iroh looks for a router.
 */
const isInside = process.env.AMESH_INSIDE === '1'
const environment: NodeJS.ProcessEnv = { ...process.env, AMESH_INSIDE: '1' }
// With it, each failure of iroh takes 100 ms.
delete environment.RUST_BACKTRACE
for (const [lane, folder, variable] of LANES) {
  const program = process.env[variable]
  if (isInside && program !== undefined) await runLane(lane, program)
  if (isInside || program !== undefined) continue
  const built = buildRust(folder, 'rust-peer')
  if ('path' in built) environment[variable] = built.path
  else console.log(`agent-mesh-bus ${lane}: skipped: ${built.missing}`)
}
if (!isInside) {
  const again = [process.execPath, ...process.execArgv, import.meta.filename]
  const address = '10.91.0.1'
  const setup = [
    'ip link set lo up multicast on',
    `ip addr add ${address}/24 dev lo`,
    'ip route add 224.0.0.0/4 dev lo',
  ].join(' && ')
  const apart = ['--net', 'sh', '-c', `${setup} && exec "$@"`, 'sh']
  const canBeApart = spawnSync('unshare', ['--net', 'sh', '-c', setup]).status === 0
  if (canBeApart) environment.AMESH_INTERFACE = address
  const [command = '', ...rest] = canBeApart ? ['unshare', ...apart, ...again] : again
  const { status } = spawnSync(command, rest, { env: environment, stdio: 'inherit' })
  process.exitCode = status ?? 1
}
