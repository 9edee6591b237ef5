/**
 * `npm run bench:postgres`: this package on PostgreSQL against the asynchronous `pg` driver that
 * awaits one statement at a time on the same server, interleaved round by round in one run,
 * medians, as ratios of the times: below 1 is faster than `pg`.
 *
 * Options: --rounds N (9), --entries N for the verification (1,000,000), --only TEXT, --url URL of
 * a server to use in place of a throwaway one.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Backend, Generation, SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import pg from 'pg'
import { startServer, withoutServer } from '../test/postgres/server.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    entries: { type: 'string', default: '1000000' },
    only: { type: 'string', default: '' },
    url: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const PROCESSES = 4
const RUN_MS = 1_500

/** Milliseconds, or a rate for what is better when larger. */
type Run = () => number | Promise<number>

const COLUMNS = [30, 12, 12, 8, 14]
function line(...cells: readonly string[]): void {
  console.log(
    cells.map((cell, i) => (i === 0 ? cell.padEnd(38) : cell.padStart(COLUMNS[i] ?? 0))).join(' '),
  )
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
}

/** Both in turns; the ratio is the median of the rounds' own ratios. */
async function compare(
  name: string,
  target: string,
  ours: Run,
  theirs: Run,
  count = rounds,
): Promise<void> {
  if (!name.includes(values.only)) return
  const pairs: [number, number][] = []
  for (let round = 0; round <= count; round++) {
    const oursFirst = round % 2 === 0 ? await ours() : undefined
    const b = await theirs()
    const a = oursFirst ?? (await ours())
    // The first round warms up.
    if (round > 0) pairs.push([a, b])
  }
  line(
    name,
    median(pairs.map(([a]) => a)).toFixed(3),
    median(pairs.map(([, b]) => b)).toFixed(3),
    median(pairs.map(([a, b]) => a / b)).toFixed(2),
    target,
  )
}

async function timed(operations: number, work: () => void | Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / operations
}

function repeat(count: number, work: () => void): void {
  for (let i = 0; i < count; i++) work()
}

const small = new Uint8Array(256).fill(97)
const hash = Buffer.alloc(32, 7)

async function main(url: string): Promise<void> {
  using db = PgBackend.connect(url)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    Generation.ensureSchema(db)
    WriterLog.ensureSchema(db)
    db.exec(`CREATE TABLE plain (stream TEXT NOT NULL, writer TEXT NOT NULL, seq BIGINT NOT NULL,
      prev_hash BYTEA, content_hash BYTEA NOT NULL, payload BYTEA NOT NULL, PRIMARY KEY (stream, writer, seq))`)
    line('ms for one, medians', 'ours', 'pg', 'ratio', 'target')
    await compare(
      'SELECT 1',
      'at most 1.1',
      () => timed(500, () => repeat(500, () => db.query('SELECT 1'))),
      () =>
        timed(500, async () => {
          for (let i = 0; i < 500; i++) await client.query({ name: 'one', text: 'SELECT 1' })
        }),
    )
    let seq = 0
    const insert = async () => {
      await client.query({
        name: 'insert',
        text: 'INSERT INTO plain VALUES ($1, $2, $3, $4, $5, $6)',
        values: ['s', 'w', ++seq, hash, hash, small],
      })
    }
    for (const [mode, target] of [
      ['on', 'at most 1.15'],
      ['off', 'at most 1.0'],
    ] as const) {
      db.query("SELECT set_config('synchronous_commit', ?, false)", [mode])
      await client.query(`SET synchronous_commit = ${mode}`)
      await compare(
        `append, commit ${mode}`,
        target,
        () => timed(200, () => repeat(200, () => WriterLog.append(db, 's', 'w', small))),
        () =>
          timed(200, async () => {
            for (let i = 0; i < 200; i++) await insert()
          }),
      )
    }
    db.query("SELECT set_config('synchronous_commit', 'on', false)")
    const thousand = Array.from({ length: 1_000 }, () => small)
    await compare(
      'appendMany of 1,000 / append',
      'at most 0.05',
      () => timed(1_000, () => void WriterLog.appendMany(db, 's', 'many', thousand)),
      () => timed(200, () => repeat(200, () => WriterLog.append(db, 's', 'w', small))),
    )
    for (let i = 0; i < 10; i++) WriterLog.appendMany(db, 'read', 'w', thousand)
    db.query("SELECT set_config('synchronous_commit', 'on', false)")
    const text = `SELECT seq, prev_hash, content_hash, payload FROM _agent_store_log
      WHERE stream = $1 AND writer = $2 ORDER BY seq`
    await compare(
      'reading 10,000 entries',
      'at most 0.65',
      () => timed(1, () => void WriterLog.entries(db, 'read', 'w').length),
      () =>
        timed(1, async () => {
          await client.query({ name: 'read', text, values: ['read', 'w'] })
        }),
      2 * rounds,
    )
    await compare(
      'connect, SELECT 1, later in a process',
      'below 1.5',
      () => {
        let other: PgBackend | undefined
        const took = timed(1, () => {
          other = PgBackend.connect(url)
          other.query('SELECT 1')
        })
        other?.close()
        return took
      },
      async () => {
        const other = new pg.Client({ connectionString: url })
        const took = await timed(1, async () => {
          await other.connect()
          await other.query('SELECT 1')
        })
        await other.end()
        return took
      },
      2 * rounds,
    )
    for (const [what, number] of [
      ['connect, SELECT 1, first in a process', 0],
      ['connect, SELECT 1, from process start', 1],
    ] as const) {
      await compare(
        what,
        number === 0 ? 'below 1.5' : '-',
        () => firstConnect(OURS, url)[number] ?? Number.NaN,
        () => firstConnect(THEIRS, url)[number] ?? Number.NaN,
        2 * rounds,
      )
    }
    // With commit on, what a flush of the disk takes is the same for both.
    for (const commit of ['on', 'off']) {
      await compare(
        `appends/s, ${PROCESSES} processes, commit ${commit}`,
        'at least 1.6',
        () => rateOf('append', url, commit),
        () => rateOf('read-then-insert', url, commit),
        Math.min(5, rounds),
      )
    }
    if ('verify, entry'.includes(values.only)) await verification(db)
  } finally {
    await client.end()
  }
  importTime()
}

const OURS = `import { PgBackend } from 'agent-store/postgres'
  const start = performance.now()
  const db = PgBackend.connect(process.argv[1])
  db.query('SELECT 1')
  console.log(performance.now() - start, performance.now())
  db.close()`
const THEIRS = `import pg from 'pg'
  const start = performance.now()
  const client = new pg.Client({ connectionString: process.argv[1] })
  await client.connect()
  await client.query('SELECT 1')
  console.log(performance.now() - start, performance.now())
  await client.end()`

/** In a new process: the milliseconds from the import on, and those since it was started. */
function firstConnect(script: string, url: string): readonly number[] {
  return output(script, url).split(' ').map(Number)
}

/**
 * Appends a second of several processes with writers of their own; here the other side is this
 * package too, and reads the head before it inserts.
 */
async function rateOf(kind: string, url: string, commit: string): Promise<number> {
  const child = join(import.meta.dirname, 'postgres-child.ts')
  const counts = await Promise.all(
    Array.from({ length: PROCESSES }, async (_, i) => {
      const args = ['-C', '@agent-store/source', child, kind, url, `w${i}`, String(RUN_MS), commit]
      const { stdout } = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      stdout.on('data', (chunk) => {
        said += String(chunk)
      })
      await once(stdout, 'close')
      return Number(said)
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

/** The same log on both backends. */
async function verification(db: Backend): Promise<void> {
  const entries = Number(values.entries)
  const folder = mkdtempSync(join(tmpdir(), 'agent-store-bench-'))
  try {
    using file = SqliteBackend.open(join(folder, 'store.db'), { durability: 'normal' })
    WriterLog.ensureSchema(file)
    const batch = Array.from({ length: 10_000 }, () => small)
    for (const store of [file, db]) {
      for (let done = 0; done < entries; done += batch.length) {
        WriterLog.appendMany(store, 'big', 'w', batch)
      }
    }
    const before = process.memoryUsage().rss
    const verify = (store: Backend) => timed(1, () => void WriterLog.verify(store, 'big', 'w'))
    await compare(
      `verify, entry of ${entries} (pg: SQLite)`,
      'at most 2.0',
      () => verify(db),
      () => verify(file),
      Math.min(3, rounds),
    )
    const grown = Math.max(0, process.memoryUsage().rss - before) / 1024 / 1024
    console.log(`verification: resident memory grew by ${grown.toFixed(0)} MB`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What the Postgres part adds to a process that has the core already. */
function importTime(): void {
  const name = 'import of agent-store/postgres'
  if (!name.includes(values.only)) return
  const script = `await import('agent-store'); const start = performance.now()
    await import('agent-store/postgres'); console.log(performance.now() - start)`
  const times = Array.from({ length: 2 * rounds }, () => Number(output(script)))
  line(name, median(times).toFixed(1), '-', '-', 'below 15')
}

function output(script: string, ...more: readonly string[]): string {
  const args = ['--input-type=module', '--eval', script, ...more]
  return spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout
}

const missing = values.url === undefined && withoutServer()
if (missing) console.log(`not run: ${missing}`)
else if (values.url !== undefined) await main(values.url)
else {
  using server = startServer()
  console.log(`PostgreSQL ${server.installation.version}, TCP on loopback, SCRAM, fsync on`)
  await main(server.url())
}
