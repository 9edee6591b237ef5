/**
 * `agent-store demo`: the main job on real input, in a few seconds: several processes on
 * one file, one of them killed, a bell, a verification, and a forgery that is caught.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { ChainBrokenError, Doorbell, Generation, SqliteBackend, WriterLog } from '../index.ts'
import { type Command, FoundFault } from './command.ts'
import { count, dim, type Output, printable, strong } from './output.ts'
import { openForWriting } from './store.ts'

const AGENTS = 4
const KILL_AFTER = 60
const fromSource = import.meta.url.endsWith('.ts')
const root = new URL('../../', import.meta.url)

export const demo: Command = {
  summary: 'Show the main job: many processes, one file, nothing lost, nothing forged.',
  args: [],
  takesStore: false,
  options: { turns: { type: 'string' } },
  optionHelp: { '--turns FILE': 'JSON lines with stream, writer and payload to append' },
  async run({ options, out }) {
    const turns = typeof options.turns === 'string' ? options.turns : defaultTurns()
    readFileSync(turns)
    const file = join(mkdtempSync(join(tmpdir(), 'agent-store-demo-')), 'fleet.db')
    openForWriting(file).close()
    await fleet(out, file, turns)
    await killed(out, file, turns)
    const stream = ring(out, file)
    check(out, file)
    forge(out, file)
    const cli = fromSource ? 'npm run -s agent-store --' : 'npx agent-store'
    out.line(`\n${strong('The store is')} ${file}`)
    out.line('Try next:')
    out.line(`  ${cli} streams ${file}`)
    out.line(`  ${cli} log ${file} ${JSON.stringify(stream)} --tail 5`)
    out.line(`  ${cli} verify ${file}`)
  },
}

async function fleet(out: Output, file: string, turns: string): Promise<void> {
  step(out, 1, `${AGENTS} agent processes append real turns to one file, all at once`)
  const written = await Promise.all(
    Array.from({ length: AGENTS }, async (_, i) => {
      const agent = start(file, turns, String(i), String(AGENTS))
      let lines = 0
      for await (const _ of createInterface({ input: agent.stdout ?? ([] as never) })) lines++
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

async function killed(out: Output, file: string, turns: string): Promise<void> {
  step(out, 2, 'a fifth one is killed (SIGKILL) in the midst of appending')
  const agent = start(file, turns, '0', '1', 'doomed')
  const acknowledged: string[] = []
  for await (const line of createInterface({ input: agent.stdout ?? ([] as never) })) {
    acknowledged.push(line)
    if (acknowledged.length === KILL_AFTER) agent.kill('SIGKILL')
  }
  await ended(agent, true)
  using db = SqliteBackend.open(file)
  const stored = new Set(
    [...WriterLog.read(db, 'demo:doomed', 'doomed')].map(
      ({ seq, contentHash }) => `${seq} ${Buffer.from(contentHash).toString('hex')}`,
    ),
  )
  const lost = acknowledged.filter((line) => !stored.has(line)).length
  out.line(
    `   ${count(acknowledged.length)} appends were acknowledged before it died, ` +
      `${count(acknowledged.length - lost)} are in the file, ${lost} lost`,
  )
  out.flush()
  if (lost > 0) throw new FoundFault(`${lost} acknowledged appends are lost`)
}

function ring(out: Output, file: string): string {
  step(out, 3, 'a subscriber is rung when a commit is durable')
  using db = SqliteBackend.open(file)
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

function check(out: Output, file: string): void {
  step(out, 4, 'every hash and every link is recomputed')
  using db = SqliteBackend.open(file, { readOnly: true })
  const start = performance.now()
  const { logs, entries } = WriterLog.verifyAll(db)
  const ms = Math.ceil(performance.now() - start)
  out.line(`   ${count(entries)} entries in ${count(logs)} logs verified in ${ms} ms`)
  out.flush()
}

function forge(out: Output, file: string): void {
  step(out, 5, 'a copy is tampered with: one past turn says something else')
  const copy = file.replace(/fleet\.db$/, 'forged.db')
  copyFileSync(file, copy)
  using db = SqliteBackend.open(copy)
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

function start(...args: string[]): ChildProcess {
  const script = fileURLToPath(new URL(`./demo-agent.${fromSource ? 'ts' : 'js'}`, import.meta.url))
  return spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function ended(agent: ChildProcess, killed = false): Promise<void> {
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
