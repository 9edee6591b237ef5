/**
 * `npm run bench:follow`: how soon a commit wakes who waits for it, from the moment at which the
 * append returned to the one at which the entry is in hand, in percentiles over 1,000 commits
 * of another process or thread; what waiting costs while nothing happens; catching up beside plain
 * reading; and what telling of commits costs those who write to a server.
 *
 * Options: --commits N (1,000), --only TEXT, --url URL of a server in place of a throwaway one.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { type FollowOptions, follow, ThreadBell } from 'agent-store/follow'
import { formatPeer, KeyPair, MeshBell, writeKeyFile } from 'agent-store/mesh'
import { PgBackend } from 'agent-store/postgres'
import { hasMesh, joinMesh, openDeaf } from '../src/cli/demo/bells.ts'
import { startServer, withoutServer } from '../test/postgres/server.ts'

const { values } = parseArgs({
  options: {
    commits: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
    url: { type: 'string' },
  },
})
const commits = Number(values.commits)
const CHILD = join(import.meta.dirname, 'follow-child.ts')
const ROUNDS = 7
const IDLE_MS = 10_000
const WRITERS = 4
const RUN_MS = 1_500

function line(name: string, ...cells: readonly string[]): void {
  console.log([name.padEnd(44), ...cells.map((cell) => cell.padStart(12))].join(' '))
}

const wanted = (name: string) => name.includes(values.only)

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
}

/** Wait for entries of another, who tells afterwards when each of its appends had returned. */
async function wakes(
  name: string,
  target: string,
  db: Backend,
  how: FollowOptions,
  start: () => Promise<string>,
): Promise<void> {
  const arrived: bigint[] = []
  const told = new Promise((begun) => setImmediate(begun)).then(start)
  for await (const _ of follow(db, { stream: 'wake', ...how })) {
    arrived.push(process.hrtime.bigint())
    if (arrived.length === commits) break
  }
  const returned = (JSON.parse(await told) as string[]).map(BigInt)
  const times = arrived.map((at, i) => Number(at - (returned[i] ?? at)) / 1e6)
  times.sort((a, b) => a - b)
  const at = (share: number) => (times[Math.floor(share * (times.length - 1))] ?? 0).toFixed(2)
  line(name, `${at(0.5)} ms`, `${at(0.99)} ms`, target)
}

/** What another process has said at its end. */
async function child(kind: string, place: string, ...more: readonly string[]): Promise<string> {
  const args = ['-C', '@agent-store/source', CHILD, kind, place, ...more]
  const { stdout } = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  stdout.on('data', (chunk) => {
    said += String(chunk)
  })
  await once(stdout, 'close')
  return said
}

async function onFile(folder: string): Promise<void> {
  line('wake', 'median', 'p99', 'target')
  for (const durability of ['full', 'normal']) {
    const name = `across processes, one file, ${durability}`
    if (!wanted(name)) continue
    const file = join(folder, `${durability}.db`)
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    await wakes(name, '1 / 15 ms', db, {}, () => child(`wake-${durability}`, file, String(commits)))
    if (durability === 'full') await idle('waiting on a file', db)
  }
  if (wanted('across threads')) {
    const file = join(folder, 'threads.db')
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    using threads = new ThreadBell('bench')
    const argv = ['wake-full', file, String(commits), 'bench']
    await wakes('across threads', '0.2 ms', db, { bells: [threads] }, async () => {
      const [said] = await once(new Worker(CHILD, { argv }), 'message')
      return String(said)
    })
  }
  if (hasMesh()) {
    await overMesh(folder, 'a kept connection', '5 ms', true, 2)
    await overMesh(folder, 'dialling for each', '10 ms', false, 20)
    await overMesh(folder, 'commits faster than dialling', '', false, 2)
  } else if (wanted('over the mesh')) console.log('no mesh: @number0/iroh is not installed')
  if (wanted('catching up')) await catchingUp(join(folder, 'many.db'))
}

/** On one file, but told by the mesh alone, on loopback. */
async function overMesh(
  folder: string,
  way: string,
  target: string,
  keep: boolean,
  pauseMs: number,
): Promise<void> {
  const name = `over the mesh, ${way}`
  if (!wanted(name)) return
  const [file, keyFile] = [join(folder, `${way}.db`), join(folder, `${way}.key`)]
  writeKeyFile(keyFile, KeyPair.generate())
  await using bus = await joinMesh(keyFile, 'following')
  const db = openDeaf(file)
  WriterLog.ensureSchema(db)
  using bell = new MeshBell(bus)
  const more = [keyFile, formatPeer(bus.peer), keep ? 'keep' : '']
  await wakes(name, target, db, { bells: [bell], pollMs: 60_000 }, () =>
    child('mesh', file, String(commits), String(pauseMs), ...more),
  )
}

/** The share of one core that waiting takes. */
async function idle(name: string, db: Backend): Promise<void> {
  const stop = new AbortController()
  const waiting = follow(db, { stream: 'silent', signal: stop.signal })
    .next()
    .catch(() => undefined)
  await new Promise((done) => setTimeout(done, 500))
  const before = process.cpuUsage()
  await new Promise((done) => setTimeout(done, IDLE_MS))
  const { user, system } = process.cpuUsage(before)
  stop.abort()
  await waiting
  line(
    `${name}: idle, of one core`,
    `${((user + system) / IDLE_MS / 10).toFixed(3)} %`,
    '',
    '0.1 %',
  )
}

async function catchingUp(file: string): Promise<void> {
  using db = SqliteBackend.open(file, { durability: 'normal' })
  WriterLog.ensureSchema(db)
  const payload = new Uint8Array(256).fill(97)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 100_000 }, () => payload),
  )
  const ratios: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const start = performance.now()
    let bytes = 0
    for (const entry of WriterLog.entries(db, 's', 'w')) bytes += entry.payload.length
    const plain = performance.now() - start
    const again = performance.now()
    for await (const entry of follow(db, { live: false })) bytes -= entry.payload.length
    const followed = performance.now() - again
    if (bytes !== 0) throw new Error('not the same entries')
    if (round > 0) ratios.push(plain / followed)
  }
  line('catching up on 100,000, of the rate of entries()', median(ratios).toFixed(2), '', '0.7')
}

async function onServer(url: string): Promise<void> {
  if (wanted('through Postgres')) {
    using db = PgBackend.connect(url)
    WriterLog.ensureSchema(db)
    await wakes('through Postgres', '1.5 ms', db, {}, () =>
      child('wake-full', url, String(commits)),
    )
    await idle('waiting on a server', db)
  }
  if (wanted('writers')) await notifying(url)
}

/** Four writers on one server, who tell nothing, tell after a commit, or as part of it. */
async function notifying(url: string): Promise<void> {
  using db = PgBackend.connect(url)
  WriterLog.ensureSchema(db)
  const rates: Record<string, number[]> = { silent: [], after: [], within: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [kind, list] of Object.entries(rates)) list.push(await rateOf(kind, url))
  }
  const [silent = 1, after = 0, within = 0] = Object.values(rates).map(median)
  line(`${WRITERS} writers: appends/s, telling nobody`, silent.toFixed(0))
  line('  told after the commit (notify)', after.toFixed(0), (after / silent).toFixed(2))
  line('  told by the transaction itself', within.toFixed(0), (within / silent).toFixed(2))
}

async function rateOf(kind: string, url: string): Promise<number> {
  const counts = await Promise.all(
    Array.from({ length: WRITERS }, async (_, i) =>
      Number(await child(kind, url, `w${i}`, String(RUN_MS))),
    ),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

const folder = mkdtempSync(join(tmpdir(), 'agent-store-bench-'))
try {
  await onFile(folder)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
const missing = values.url === undefined && withoutServer()
if (values.url !== undefined) await onServer(values.url)
else if (missing !== false) console.log(`no server: ${missing}`)
else {
  using server = startServer()
  await onServer(server.url())
}
