/**
 * `npm run bench`: this package against the raw driver and the Rust crate, interleaved round by
 * round in one run, medians, as ratios. Above 1 is faster than the crate.
 *
 * Options: --rounds N (7), --entries N in the large file (1,000,000), --only TEXT.
 * `npm run bench:peers` compares with peers from npm.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { Generation, SqliteBackend, WriterLog } from 'agent-store'
import { buildRust } from '../interop/rust.ts'
import { RustWorker } from './rust-worker.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    entries: { type: 'string', default: '1000000' },
    only: { type: 'string', default: '' },
  },
})
const rounds = Number(values.rounds)
const large = Number(values.entries)

const folder = mkdtempSync(join(tmpdir(), 'agent-store-bench-'))
const rust = buildRust()
const worker = 'path' in rust ? new RustWorker(rust.path) : undefined
if ('missing' in rust) console.log(`without the Rust crate: ${rust.missing}`)

/** Nanoseconds for one operation. */
type Run = () => number | Promise<number>

interface Row {
  readonly name: string
  readonly target: string
  readonly ours: Run
  readonly crate?: Run | undefined
  readonly raw?: Run
  /** How many rounds, in place of `rounds`. */
  readonly count?: number
}

async function compare({ name, target, ours, crate, raw, count }: Row): Promise<void> {
  if (!name.includes(values.only)) return
  const ns = await medians({ ours, crate: worker === undefined ? undefined : crate, raw }, count)
  const ratio = (other: number | undefined) =>
    other === undefined || ns.ours === undefined ? '-' : (other / ns.ours).toFixed(2)
  print([name, us(ns.ours), us(ns.crate), us(ns.raw), ratio(ns.crate), ratio(ns.raw), target])
}

function print(row: readonly string[]): void {
  console.log(row.map((cell, i) => (i === 0 ? cell.padEnd(44) : cell.padStart(10))).join(' '))
}

/** Nanoseconds of each, taken in turn, round by round. */
async function medians(
  runs: Record<string, Run | undefined>,
  count = rounds,
): Promise<Record<string, number | undefined>> {
  const times: Record<string, number[]> = {}
  for (let round = 0; round <= count; round++) {
    for (const [who, run] of Object.entries(runs)) {
      times[who] ??= []
      const ns = await run?.()
      // The first round warms up.
      if (ns !== undefined && round > 0) times[who].push(ns)
    }
  }
  return Object.fromEntries(Object.entries(times).map(([who, list]) => [who, median(list)]))
}

/** What an append costs in a long log, over what it costs in a short one; and a raw INSERT. */
async function compareGrowth(): Promise<void> {
  const name = `append, log of ${large} over one of 1000`
  if (!name.includes(values.only)) return
  const runs: Record<string, Run> = {}
  for (const length of [1_000, large]) {
    const db = open(`ours-${length}.db`)
    for (let left = length; left > 0; left -= 100_000) {
      fill(db, 's', 1, Math.min(left, 100_000), small)
    }
    runs[`ours ${length}`] = () =>
      timed(500, () => repeat(500, () => WriterLog.append(db, 's', 'w0', small)))
    const raw = rawInserts(`raw-${length}.db`, length)
    runs[`raw ${length}`] = () => raw(500)
  }
  // Short runs, so that the short log stays short, and more of them.
  const ns = await medians(runs, 5 * rounds)
  const growth = (who: string) => (ns[`${who} ${large}`] ?? 0) / (ns[`${who} 1000`] ?? 0)
  const [ours, raw] = [growth('ours'), growth('raw')]
  print([name, ours.toFixed(2), '-', raw.toFixed(2), '-', (raw / ours).toFixed(2), '1 / 1.1'])
}

function median(list: readonly number[]): number | undefined {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]
}

function us(ns: number | undefined): string {
  return ns === undefined ? '-' : (ns / 1000).toFixed(2)
}

function timed(operations: number, work: () => void): number {
  const start = process.hrtime.bigint()
  work()
  return Number(process.hrtime.bigint() - start) / operations
}

function open(name: string): SqliteBackend {
  const db = SqliteBackend.open(join(folder, name), { durability: 'normal' })
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
  return db
}

function rawInserts(name: string, before = 0): (count: number) => number {
  const db = new DatabaseSync(join(folder, name))
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
  db.exec(`CREATE TABLE log (stream TEXT NOT NULL, writer TEXT NOT NULL, seq INTEGER NOT NULL, prev_hash BLOB,
    content_hash BLOB NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (stream, writer, seq))`)
  const insert = db.prepare('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)')
  const hash = new Uint8Array(32).fill(7)
  let seq = 0n
  const run = (count: number) =>
    timed(count, () => {
      for (let i = 0; i < count; i++) insert.run('s', 'w', ++seq, hash, hash, small)
    })
  db.exec('BEGIN')
  run(before)
  db.exec('COMMIT')
  return run
}

function fill(
  db: SqliteBackend,
  stream: string,
  writers: number,
  count: number,
  payload: Uint8Array,
): void {
  const each = Math.ceil(count / writers)
  db.transaction(() => {
    for (let w = 0; w < writers; w++) {
      WriterLog.appendMany(
        db,
        stream,
        `w${w}`,
        Array.from({ length: each }, () => payload),
      )
    }
  })
}

/** The crate's time for one operation. */
function theirs(command: Record<string, unknown>): Run {
  return async () => {
    const { ns, ops } = await (worker as RustWorker).send(command)
    return ns / ops
  }
}

const openTheirs = (name: string) =>
  worker?.send({ op: 'open', path: join(folder, name), synchronous: 'NORMAL' })

const small = new Uint8Array(256).fill(97)
const page = new Uint8Array(4096).fill(97)

try {
  print(['us for one operation, medians', 'ours', 'crate', 'raw', 'x crate', 'x raw', 'target'])
  const db = open('ours.db')
  const raw = rawInserts('raw.db')
  await openTheirs('theirs.db')
  await compare({
    name: 'append',
    target: '1.25, raw 0.85',
    // Short turns, and more of them: what else the machine does meets all three alike.
    ours: () => timed(500, () => repeat(500, () => WriterLog.append(db, 's', 'w', small))),
    crate: theirs({ op: 'append', stream: 's', writer: 'w', count: 500, size: 256 }),
    raw: () => raw(500),
    count: 5 * rounds,
  })
  const batch = Array.from({ length: 100 }, () => small)
  await compare({
    name: 'appendMany of 100, per entry',
    target: '5',
    ours: () => timed(5_000, () => repeat(50, () => WriterLog.appendMany(db, 's', 'many', batch))),
    crate: theirs({ op: 'append', stream: 's', writer: 'many', count: 2_000, size: 256 }),
  })
  await compareGrowth()
  const counter = new Generation('k')
  await compare({
    name: 'bump',
    target: '1.2',
    ours: () => timed(3_000, () => repeat(3_000, () => counter.bump(db))),
    crate: theirs({ op: 'bump', key: 'k', count: 3_000 }),
  })
  await compare({
    name: 'head',
    target: '1.3',
    ours: () => timed(5_000, () => repeat(5_000, () => WriterLog.head(db, 's', 'w'))),
    crate: theirs({ op: 'head', stream: 's', writer: 'w', count: 5_000 }),
  })
  fill(db, 'read', 1, 200_000, small)
  fill(db, 'pages', 1, 20_000, page)
  await worker?.send({ op: 'fill', stream: 'read', writers: 1, count: 200_000, size: 256 })
  await worker?.send({ op: 'fill', stream: 'pages', writers: 1, count: 20_000, size: 4096 })
  let sum = 0
  await compare({
    name: 'entries, 200,000 of 256 B, per entry',
    target: '0.7',
    ours: () =>
      timed(200_000, () => {
        for (const e of WriterLog.entries(db, 'read', 'w0'))
          sum += (e.payload[0] ?? 0) + (e.contentHash[0] ?? 0)
      }),
    crate: theirs({ op: 'entries', stream: 'read', writer: 'w0' }),
  })
  await compare({
    name: 'read (lazy), the same',
    target: '1.3',
    ours: () =>
      timed(200_000, () => {
        for (const { seq } of WriterLog.read(db, 'read', 'w0')) sum += Number(seq)
      }),
    crate: theirs({ op: 'entries', stream: 'read', writer: 'w0' }),
  })
  await compare({
    name: 'read (lazy), payload and hash of each',
    target: '-',
    ours: () =>
      timed(200_000, () => {
        for (const e of WriterLog.read(db, 'read', 'w0'))
          sum += (e.payload[0] ?? 0) + (e.contentHash[0] ?? 0)
      }),
    crate: theirs({ op: 'entries', stream: 'read', writer: 'w0' }),
  })
  await compare({
    name: 'verify, 200,000 of 256 B, per entry',
    target: '1.3',
    ours: () => timed(200_000, () => WriterLog.verify(db, 'read', 'w0')),
    crate: theirs({ op: 'verify', stream: 'read', writer: 'w0' }),
  })
  const plain = await withoutWebAssembly()
  const plainDb = plain.SqliteBackend.open(join(folder, 'ours.db'))
  await compare({
    name: 'verify by the TypeScript BLAKE3, the same',
    target: '1.1',
    ours: () => timed(200_000, () => plain.WriterLog.verify(plainDb, 'read', 'w0')),
    crate: theirs({ op: 'verify', stream: 'read', writer: 'w0' }),
  })
  plainDb.close()
  await compare({
    name: 'verify, 20,000 of 4 KiB, per entry',
    target: '1.0',
    ours: () => timed(20_000, () => WriterLog.verify(db, 'pages', 'w0')),
    crate: theirs({ op: 'verify', stream: 'pages', writer: 'w0' }),
  })
  await worker?.send({ op: 'close' })
  db.close()

  if ('append by 10,000 writers'.includes(values.only) || 'memory'.includes(values.only)) {
    const big = open('big-ours.db')
    fill(big, 's', 10_000, large, small)
    await openTheirs('big-theirs.db')
    await worker?.send({ op: 'fill', stream: 's', writers: 10_000, count: large, size: 256 })
    let seed = 1
    await compare({
      name: `append by 10,000 writers, file of ${large}`,
      target: '1.1',
      ours: () =>
        timed(2_000, () =>
          repeat(2_000, () => {
            seed = (seed * 48271) % 2147483647
            WriterLog.append(big, 's', `w${seed % 10_000}`, small)
          }),
        ),
      crate: theirs({ op: 'append-random', writers: 10_000, count: 2_000, size: 256, seed: 7 }),
    })
    await worker?.send({ op: 'close' })
    big.close()
    inChild('verify', join(folder, 'big-ours.db'))
    inChild('import', '')
    inChild('open', join(folder, 'ours.db'))
  }
  if (sum < 0) console.log(sum)
} finally {
  worker?.end()
  rmSync(folder, { recursive: true })
}

/** The built package, beside the one from source, with the kernel of a runtime that has no other. */
async function withoutWebAssembly(): Promise<typeof import('agent-store')> {
  const webAssembly = Object.getOwnPropertyDescriptor(globalThis, 'WebAssembly')
  Reflect.deleteProperty(globalThis, 'WebAssembly')
  try {
    const built: typeof import('agent-store') = await import(
      new URL('../dist/index.js', import.meta.url).href
    )
    built.blake3(small) // Chooses the kernel.
    return built
  } finally {
    if (webAssembly) Object.defineProperty(globalThis, 'WebAssembly', webAssembly)
  }
}

function inChild(what: string, file: string): void {
  const script = join(import.meta.dirname, 'child.ts')
  // The built package: compiling TypeScript on the fly costs time and memory of its own.
  const args = [script, what, file]
  const found = Array.from({ length: 5 }, () => {
    const { stdout } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    return stdout.trim()
  })
  console.log(
    `${what.padEnd(8)} ${found.toSorted((a, b) => Number.parseFloat(a) - Number.parseFloat(b))[2]}`,
  )
}

function repeat(count: number, work: () => void): void {
  for (let i = 0; i < count; i++) work()
}
