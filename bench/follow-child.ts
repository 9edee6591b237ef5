/** Another process or thread, which appends: with pauses, saying when; or as fast as it can. */
import { parentPort } from 'node:worker_threads'
import { type Backend, Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { ThreadBell } from 'agent-store/follow'
import { isServerUrl, PgBackend } from 'agent-store/postgres'
import { joinMesh, meshBellOf } from '../src/cli/demo/bells.ts'

const [, , kind, place = '', third = '', fourth = '', ...more] = process.argv

function open(notify: boolean): Backend {
  if (isServerUrl(place)) return PgBackend.connect({ url: place, notify })
  return SqliteBackend.open(place, { durability: kind === 'wake-normal' ? 'normal' : 'full' })
}

async function wake(commits: number, threads: string): Promise<string> {
  using db = open(true)
  const bell = new Doorbell()
  const carrier = threads === '' ? undefined : new ThreadBell(threads)
  if (carrier !== undefined) {
    bell.tie(db)
    bell.subscribe((event) => carrier.ring(event))
  }
  const said = await appendInTurn(db, commits)
  carrier?.close()
  return said
}

async function wakeByMesh(commits: number, pauseMs: number): Promise<string> {
  const [keyFile = '', peer = '', keep] = more
  using db = open(false)
  await using bus = await joinMesh(keyFile, 'appending', keep === 'keep')
  using mesh = meshBellOf(bus, db, peer)
  const said = await appendInTurn(db, commits, pauseMs)
  await mesh.idle()
  return said
}

async function appendInTurn(db: Backend, commits: number, pauseMs = 2): Promise<string> {
  const returned: string[] = []
  for (let i = 0; i < commits; i++) {
    await new Promise((done) => setTimeout(done, pauseMs + 3 * Math.random()))
    WriterLog.append(db, 'wake', 'w', 'x')
    returned.push(String(process.hrtime.bigint()))
  }
  await new Promise((done) => setTimeout(done, 100))
  return JSON.stringify(returned)
}

async function write(writer: string, runMs: number): Promise<number> {
  using db = open(kind === 'after')
  const payload = new Uint8Array(256).fill(97)
  const append = () => void WriterLog.append(db, kind ?? '', writer, payload)
  const told = () =>
    db.transaction(() => {
      append()
      db.query("SELECT pg_notify('agent_store_bench', ?)", [writer])
    })
  const start = performance.now()
  let count = 0
  while (performance.now() - start < runMs) {
    if (kind === 'within') told()
    else append()
    count++
    // As an agent does, which lets its event loop turn between two commits.
    await new Promise((done) => setImmediate(done))
  }
  return (1000 * count) / (performance.now() - start)
}

async function work(): Promise<string | number> {
  if (kind?.startsWith('wake-')) return wake(Number(third), fourth)
  if (kind === 'mesh') return wakeByMesh(Number(third), Number(fourth))
  return write(third, Number(fourth))
}

const said = await work()
if (parentPort === null) console.log(said)
else parentPort.postMessage(said)
