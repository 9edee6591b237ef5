/**
 * `npm run bench:against -- FOLDER`: this checkout against another one, call by call, interleaved
 * in one process, as ratios of medians. Above 1 is faster than the other checkout.
 *
 * FOLDER is a checkout of this repository in which `npm run build` was run. The last column is the
 * control: this checkout against a second copy of itself. Where it is not near 1, the machine was
 * too noisy for the run to say anything.
 *
 * Options: --rounds N (15), --only TEXT.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Durability, SqliteBackend } from 'agent-store'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
  },
})
const [other] = positionals
if (other === undefined) throw new TypeError('name the folder of another checkout')

type Package = typeof import('agent-store')

const folder = mkdtempSync(join(tmpdir(), 'agent-store-against-'))
const own = resolve(import.meta.dirname, '..')
const copy = join(folder, 'copy')
cpSync(join(own, 'dist'), join(copy, 'dist'), { recursive: true })
cpSync(join(own, 'package.json'), join(copy, 'package.json'))
symlinkSync(join(own, 'node_modules'), join(copy, 'node_modules'))

const load = async (checkout: string): Promise<Package> =>
  await import(pathToFileURL(join(resolve(checkout), 'dist', 'index.js')).href)
const packages = { ours: await load(own), theirs: await load(other), control: await load(copy) }

/** One operation, `count` times on a store. */
interface Case {
  readonly name: string
  readonly durability: Durability
  readonly count: number
  readonly run: (store: Package, db: SqliteBackend, i: number) => void
}

const payload = new Uint8Array(256).fill(7)
const batch = Array.from({ length: 100 }, () => payload)
const CASES: readonly Case[] = [
  {
    name: 'append, full',
    durability: 'full',
    count: 150,
    run: ({ WriterLog }, db) => WriterLog.append(db, 's', 'w', payload),
  },
  {
    name: 'append, normal',
    durability: 'normal',
    count: 1_500,
    run: ({ WriterLog }, db) => WriterLog.append(db, 's', 'w', payload),
  },
  {
    name: 'append in turn to 2,000 logs, normal',
    durability: 'normal',
    count: 1_500,
    run: ({ WriterLog }, db, i) => WriterLog.append(db, 's', `w${i % 2_000}`, payload),
  },
  {
    name: 'appendMany of 100, normal',
    durability: 'normal',
    count: 40,
    run: ({ WriterLog }, db) => WriterLog.appendMany(db, 's', 'w', batch),
  },
  {
    name: 'bump, normal',
    durability: 'normal',
    count: 1_500,
    run: ({ Generation }, db) => new Generation('g').bump(db),
  },
  {
    name: 'head',
    durability: 'normal',
    count: 5_000,
    run: ({ WriterLog }, db) => WriterLog.head(db, 'read', 'w'),
  },
  {
    name: 'entries, 2,000',
    durability: 'normal',
    count: 5,
    run: ({ WriterLog }, db) => WriterLog.entries(db, 'read', 'w'),
  },
  {
    name: 'verify, 2,000',
    durability: 'normal',
    count: 5,
    run: ({ WriterLog }, db) => WriterLog.verify(db, 'read', 'w'),
  },
]

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN

console.log(`${'call'.padEnd(40)} ours us  theirs us  ratio  control`)
for (const { name, durability, count, run } of CASES) {
  if (!name.includes(values.only)) continue
  const names = ['ours', 'theirs', 'control'] as const
  const stores = names.map((who) => {
    const store = packages[who]
    const db = store.SqliteBackend.open(join(folder, `${who}-${name.length}.db`), { durability })
    store.WriterLog.ensureSchema(db)
    store.Generation.ensureSchema(db)
    store.WriterLog.appendMany(
      db,
      'read',
      'w',
      Array.from({ length: 2_000 }, () => payload),
    )
    return { who, store, db, times: [] as number[] }
  })
  for (let round = 0; round <= Number(values.rounds); round++) {
    // Each begins as often as the others.
    const turn = stores.map((_, i) => stores[(i + round) % stores.length])
    for (const each of turn) {
      if (each === undefined) continue
      const start = performance.now()
      for (let i = 0; i < count; i++) run(each.store, each.db, round * count + i)
      // The first round warms up.
      if (round > 0) each.times.push(((performance.now() - start) * 1_000) / count)
    }
  }
  const [ours = Number.NaN, theirs = Number.NaN, control = Number.NaN] = stores.map(({ times }) =>
    median(times),
  )
  const cells = [ours.toFixed(1), theirs.toFixed(1), (theirs / ours).toFixed(2)]
  console.log(
    `${name.padEnd(40)} ${cells.map((cell) => cell.padStart(8)).join('')} ${(control / ours).toFixed(2).padStart(8)}`,
  )
  for (const { db, who } of stores) {
    db.close()
    rmSync(join(folder, `${who}-${name.length}.db`), { force: true })
  }
}
rmSync(folder, { recursive: true, force: true })
