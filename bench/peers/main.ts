/**
 * `npm run bench:peers`: this package beside peers from npm, round by round in one run. Each
 * keeps its own defaults, so read the durability that stands beside the figures.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Peer } from './peer.ts'

const ROUNDS = 5
const APPENDS = 500
const BATCH = 5_000
const payload = new Uint8Array(256).map((_, i) => (i * 31 + 7) & 255)

const makers: readonly (() => Promise<Peer>)[] = [
  async () => (await import('./agent-store.ts')).agentStore('full'),
  async () => (await import('./agent-store.ts')).agentStore('normal'),
  async () => (await import('./hypercore.ts')).hypercore(),
  async () => (await import('./emmett-sqlite.ts')).emmettSqlite(),
  async () => (await import('./emmett-sqlite.ts')).emmettSqlite({ singleton: true }),
  async () => (await import('./langgraph-sqlite.ts')).langgraphSqlite(),
  async () => (await import('./langgraph-sqlite.ts')).langgraphSqlite({ synchronous: 'FULL' }),
]

interface Rates {
  readonly name: string
  readonly durability: string
  readonly append: number
  readonly batch: number | undefined
  readonly read: number
}

const [, script = '', chosen] = process.argv
if (chosen === undefined) await compare()
else
  console.log(
    JSON.stringify(await measure(await (makers[Number(chosen)] as () => Promise<Peer>)())),
  )

/** Each peer in a process of its own, so that one that fails takes nobody along. */
async function compare(): Promise<void> {
  const found: Rates[][] = makers.map(() => [])
  const failures: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, list] of found.entries()) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, String(i)], {
        encoding: 'utf8',
      })
      if (status === 0) list.push(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''))
      else
        failures.push(
          `${makers[i]}: ${/\b(Error|SQLITE)\b.*/.exec(stderr)?.[0] ?? stderr.slice(0, 200)}`,
        )
    }
  }
  console.log('| | append/s | in batches/s | read/s | when append returns |\n|---|---|---|---|---|')
  for (const list of found) {
    const [first] = list
    if (first === undefined) continue
    const middle = (of: (rates: Rates) => number | undefined) => median(list.map(of))
    const figures = [middle((r) => r.append), middle((r) => r.batch), middle((r) => r.read)]
    console.log(`| ${first.name} | ${figures.join(' | ')} | ${first.durability} |`)
  }
  for (const failure of failures) console.log(`failed: ${failure}`)
}

async function measure(peer: Peer): Promise<Rates> {
  const folder = mkdtempSync(join(tmpdir(), 'agent-store-peer-'))
  await peer.open(folder)
  const append = await rate(APPENDS, () => repeat(APPENDS, () => peer.append(payload)))
  const { name, durability, appendMany } = peer
  let batch: number | undefined
  if (appendMany !== undefined) {
    const payloads = Array.from({ length: BATCH }, () => payload)
    batch = await rate(BATCH, () => appendMany.call(peer, payloads))
  }
  const expected = APPENDS + (appendMany === undefined ? 0 : BATCH)
  const read = await rate(expected, async () => {
    const count = await peer.readAll()
    if (count !== expected) throw new Error(`${name} read back ${count} of ${expected}`)
  })
  await peer.close()
  rmSync(folder, { recursive: true, force: true })
  return { name, durability, append, batch, read }
}

async function rate(count: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return (count * 1000) / (performance.now() - start)
}

async function repeat(count: number, work: () => Promise<void>): Promise<void> {
  for (let i = 0; i < count; i++) await work()
}

function median(list: readonly (number | undefined)[]): string {
  const known = list.filter((value) => value !== undefined)
  const middle = known.toSorted((a, b) => a - b)[Math.floor(known.length / 2)]
  return middle === undefined ? '-' : Math.round(middle).toLocaleString('en')
}
