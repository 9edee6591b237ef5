/**
 * `agent-store demo`: the main job on real input, in a few seconds: several processes on
 * one store, one of them killed, a bell, a verification, and a forgery that is caught.
 *
 * @module
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Backend, ChainBrokenError, Doorbell, Generation, WriterLog } from '../../index.ts'
import { isServerUrl, openStore, PgBackend } from '../../postgres/index.ts'
import { type Command, FoundFault, UsageError } from '../command.ts'
import { count, dim, type Output, printable, strong } from '../output.ts'
import { openForReading, openForWriting, shown } from '../store.ts'
import { hasMesh, wakeByMesh, wakeByStore } from './bells.ts'

type Agent = ChildProcessByStdio<null, Readable, null>

const AGENTS = 4
const KILL_AFTER = 60
const fromSource = import.meta.url.endsWith('.ts')
const root = new URL('../../../', import.meta.url)

export const demo: Command = {
  summary: 'Show the main job: many processes, one file, nothing lost, nothing forged.',
  args: [],
  takesStore: false,
  options: { turns: { type: 'string' }, on: { type: 'string' }, brief: { type: 'boolean' } },
  optionHelp: {
    '--turns FILE': 'JSON lines with stream, writer and payload to append',
    '--on URL': 'run it on a PostgreSQL server, in a new schema of its own',
    '--brief': 'leave out what to try next',
  },
  async run({ options, out }) {
    const turns = typeof options.turns === 'string' ? options.turns : defaultTurns()
    readFileSync(turns)
    const store = typeof options.on === 'string' ? makeSchema(options.on) : makeFile()
    openForWriting(store).close()
    await fleet(out, store, turns)
    await killed(out, store, turns)
    const stream = ring(out, store)
    await wake(out, store)
    check(out, store)
    if (isServerUrl(store)) forgeInTransaction(out, store)
    else forgeCopy(out, store)
    if (options.brief) return
    const cli = fromSource ? 'npm run -s agent-store --' : 'npx agent-store'
    const name = isServerUrl(store) ? `'${shown(store)}'` : store
    out.line(`\n${strong('The store is')} ${name}`)
    out.line('Try next:')
    out.line(`  ${cli} streams ${name}`)
    out.line(`  ${cli} log ${name} ${JSON.stringify(stream)} --tail 5`)
    out.line(`  ${cli} verify ${name}`)
  },
}

function makeFile(): string {
  return join(mkdtempSync(join(tmpdir(), 'agent-store-demo-')), 'fleet.db')
}

/** @returns the URL with the new schema as its search path. */
function makeSchema(url: string): string {
  if (!isServerUrl(url))
    throw new UsageError(`--on takes a postgres:// URL, got ${JSON.stringify(url)}`)
  using db = PgBackend.connect(url)
  const schema = `agent_store_demo_${process.pid}`
  db.exec(`CREATE SCHEMA ${schema}`)
  return `${url}${url.includes('?') ? '&' : '?'}options=-csearch_path%3D${schema}`
}

async function fleet(out: Output, store: string, turns: string): Promise<void> {
  step(out, 1, `${AGENTS} agent processes append real turns to one store, all at once`)
  const written = await Promise.all(
    Array.from({ length: AGENTS }, async (_, i) => {
      const agent = start(store, turns, String(i), String(AGENTS))
      let lines = 0
      for await (const _ of createInterface({ input: agent.stdout })) lines++
      await ended(agent)
      return lines
    }),
  )
  const total = written.reduce((sum, n) => sum + n, 0)
  out.line(
    `   ${written.map(count).join(' + ')} = ${count(total)} turns acknowledged, none refused`,
  )
  out.flush()
}

async function killed(out: Output, store: string, turns: string): Promise<void> {
  step(out, 2, 'a fifth one is killed (SIGKILL) in the midst of appending')
  const agent = start(store, turns, '0', '1', 'doomed')
  const acknowledged: string[] = []
  for await (const line of createInterface({ input: agent.stdout })) {
    acknowledged.push(line)
    if (acknowledged.length === KILL_AFTER) agent.kill('SIGKILL')
  }
  await ended(agent, true)
  using db = openStore(store)
  const stored = new Set(
    [...WriterLog.read(db, 'demo:doomed', 'doomed')].map(
      ({ seq, contentHash }) => `${seq} ${Buffer.from(contentHash).toString('hex')}`,
    ),
  )
  const lost = acknowledged.filter((line) => !stored.has(line)).length
  out.line(
    `   ${count(acknowledged.length)} appends were acknowledged before it died, ` +
      `${count(acknowledged.length - lost)} are in the store, ${lost} lost`,
  )
  out.flush()
  if (lost > 0) throw new FoundFault(`${lost} acknowledged appends are lost`)
}

function ring(out: Output, store: string): string {
  step(out, 3, 'a subscriber is rung when a commit is durable')
  using db = openStore(store)
  const bell = new Doorbell()
  bell.tie(db)
  let rung = 0
  bell.subscribe((event) => {
    rung++
    const hash = Buffer.from(event.contentHash).toString('hex', 0, 6)
    out.line(
      `   ding: (${printable(event.stream)}, ${printable(event.writer)}, ${event.seq}) ${hash}`,
    )
  })
  db.transaction(() => {
    const generation = new Generation('demo').bump(db)
    WriterLog.append(
      db,
      'demo:supervisor',
      'supervisor',
      `generation ${generation}: all agents reported`,
    )
    out.line(dim('   appended inside a transaction; the bell waits for the commit'))
  })
  if (rung !== 1) throw new FoundFault(`the bell rang ${rung} times for one commit`)
  return WriterLog.streams(db).find((stream) => !stream.startsWith('demo:')) ?? 'demo:supervisor'
}

async function wake(out: Output, store: string): Promise<void> {
  step(out, 4, 'two processes wake each other, without polling')
  await wakeByStore(out, store)
  if (isServerUrl(store)) return
  if (hasMesh()) await wakeByMesh(out, store)
  else out.line(dim('   not over the mesh: @number0/iroh is not installed'))
}

function check(out: Output, store: string): void {
  step(out, 5, 'every hash and every link is recomputed')
  using db = openForReading(store)
  const start = performance.now()
  const { logs, entries } = WriterLog.verifyAll(db)
  const ms = Math.ceil(performance.now() - start)
  out.line(`   ${count(entries)} entries in ${count(logs)} logs verified in ${ms} ms`)
  out.flush()
}

function forgeCopy(out: Output, file: string): void {
  step(out, 6, 'a copy is tampered with: one past turn says something else')
  const copy = file.replace(/fleet\.db$/, 'forged.db')
  copyFileSync(file, copy)
  using db = openStore(copy)
  forge(out, db)
}

function forgeInTransaction(out: Output, store: string): void {
  step(out, 6, 'one past turn is made to say something else, in a transaction that is taken back')
  using db = openStore(store)
  const taken = new Error('taken back')
  try {
    db.transaction(() => {
      forge(out, db)
      throw taken
    })
  } catch (error) {
    if (error !== taken) throw error
  }
  WriterLog.verifyAll(db)
}

function forge(out: Output, db: Backend): void {
  db.exec('UPDATE _agent_store_log SET payload = ? WHERE stream = ? AND writer = ? AND seq = ?', [
    new Uint8Array(Buffer.from('I never said that.')),
    'demo:doomed',
    'doomed',
    7n,
  ])
  try {
    WriterLog.verifyAll(db)
  } catch (error) {
    if (!(error instanceof ChainBrokenError)) throw error
    out.line(`   caught: ${printable(error.message)}`)
    return
  }
  throw new FoundFault('the forgery was not noticed')
}

function step(out: Output, number: number, text: string): void {
  out.line(`${strong(`${number}. ${text}`)}`)
  out.flush()
}

function start(...args: string[]): Agent {
  const script = fileURLToPath(new URL(`./agent.${fromSource ? 'ts' : 'js'}`, import.meta.url))
  return spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function ended(agent: Agent, killed = false): Promise<void> {
  if (agent.exitCode === null && agent.signalCode === null) {
    await new Promise((resolve) => agent.once('exit', resolve))
  }
  if (!killed && agent.exitCode !== 0) throw new FoundFault('an agent process failed; see above')
}

/** The real turns beside a checkout where they are, else the small set that comes along. */
function defaultTurns(): string {
  const beside = fileURLToPath(new URL('../shared/data/agent-turns.jsonl', root))
  const own = fileURLToPath(new URL('data/agent-turns.jsonl', root))
  return fromSource && existsSync(beside) ? beside : own
}
