/** Another process or thread, which appends: with pauses, saying when; or as fast as it can. */
import { parentPort } from 'node:worker_threads'
import { type Backend, Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { ThreadBell } from 'agent-store/follow'
import { isServerUrl, PgBackend } from 'agent-store/postgres'

const [, , kind, place = '', third = '', fourth = ''] = process.argv

function open(notify: boolean): Backend {
  return isServerUrl(place) ? PgBackend.connect({ url: place, notify }) : SqliteBackend.open(place)
}

async function wake(commits: number, threads: string): Promise<string> {
  using db = open(true)
  const bell = new Doorbell()
  const carrier = threads === '' ? undefined : new ThreadBell(threads)
  if (carrier !== undefined) {
    bell.tie(db)
    bell.subscribe((event) => carrier.ring(event))
  }
  const returned: string[] = []
  for (let i = 0; i < commits; i++) {
    await new Promise((done) => setTimeout(done, 2 + 3 * Math.random()))
    WriterLog.append(db, 'wake', 'w', 'x')
    returned.push(String(process.hrtime.bigint()))
  }
  await new Promise((done) => setTimeout(done, 100))
  carrier?.close()
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

const said =
  kind === 'wake' ? await wake(Number(third), fourth) : await write(third, Number(fourth))
if (parentPort === null) console.log(said)
else parentPort.postMessage(said)
