/** `agent-store recall`: index the log, and find what was said in it. @module */
import { follow } from '../follow/index.ts'
import { type Backend, commitEventToJson, type Entry, WriterLog } from '../index.ts'
import {
  type Distance,
  type Embedder,
  type Hit,
  keepIndexed,
  type Question,
  RecallIndex,
  type StaleHit,
  textOf,
  type VectorDefinition,
} from '../recall/index.ts'
import { type Command, FoundFault, integerOption, UsageError } from './command.ts'
import { embedCommand } from './embed-command.ts'
import { linesOf, spooledInput } from './input.ts'
import { count, dim, type Output, printable, printableName, strong } from './output.ts'
import { ProgressBar } from './progress.ts'
import { openForReading, openForWriting } from './store.ts'

type Options = Readonly<Record<string, string | boolean | undefined>>

const NAME = 'turns'
const NAMED = { name: { type: 'string' }, json: { type: 'boolean' } } as const
const NAMED_HELP = {
  '--name NAME': `the index (default ${NAME})`,
  '--json': 'the same as JSON',
}
const MAKING = {
  ...NAMED,
  model: { type: 'string' },
  distance: { type: 'string' },
  embed: { type: 'string' },
  vectors: { type: 'string' },
  batch: { type: 'string' },
} as const
const MAKING_HELP = {
  ...NAMED_HELP,
  '--model NAME': 'what makes the vectors; without it the index knows words alone',
  '--embed COMMAND': 'a program that reads a JSON string a line and prints a vector a line',
  '--vectors FILE': 'vectors as JSON lines with stream, writer, seq and vector (-: standard input)',
  '--distance NAME': 'cosine (default), dot or l2, when the index is created',
  '--batch N': 'entries in one transaction, texts in one batch (default 64)',
}
const PREVIEW = 100

export const indexCommand: Command = {
  summary: 'Index what is new in the log, by words, and by vectors where a model is named.',
  args: [],
  options: { ...MAKING, follow: { type: 'boolean' } },
  optionHelp: { ...MAKING_HELP, '--follow': 'go on with what is committed, until interrupted' },
  notes:
    'The index is made where it is missing. It lies in tables of its own; the log is never changed.\n' +
    'Interrupted or killed, it goes on where it was.',
  async run({ store, options, out }) {
    using db = openForWriting(store)
    await indexAll(db, options, out, false)
  },
}

export const search: Command = {
  summary: 'Find entries by words, and by meaning where --embed is given; each hit is verified.',
  args: ['<text>'],
  options: {
    ...NAMED,
    embed: { type: 'string' },
    k: { type: 'string', short: 'k' },
    stream: { type: 'string' },
    prefix: { type: 'string' },
    writer: { type: 'string' },
  },
  optionHelp: {
    ...NAMED_HELP,
    '--embed COMMAND': 'a program that reads a JSON string a line and prints a vector a line',
    '-k N': 'at most so many (default 10)',
    '--stream NAME': 'in this stream alone',
    '--prefix TEXT': 'in streams whose name starts like this',
    '--writer NAME': 'of this writer alone',
  },
  notes:
    'Exit status 1 when an indexed entry came up that the log does not have any more, or has\n' +
    'otherwise: `verify` tells what is wrong with the log, `recall rebuild` makes the index anew.',
  async run({ store, args: [text = ''], options, out }) {
    if (text.trim() === '') throw new UsageError('<text> must not be empty')
    using db = openForReading(store)
    const index = RecallIndex.open(db, nameOf(options))
    const vector = await vectorOf(index, text, options)
    const question: Question = { text, ...vector, ...selectionOf(options), k: countOf(options) }
    const { hits, stale } = index.search(question)
    for (const hit of hits) {
      out.line(options.json ? JSON.stringify(toJson(hit)) : lineOf(hit))
    }
    if (hits.length === 0 && !options.json) out.line('nothing found')
    if (stale.length > 0) throw new FoundFault(faultOf(stale))
  },
}

export const status: Command = {
  summary: 'Show the indexes: what they are for, how large, and how far behind the log.',
  args: [],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'one JSON object a line' },
  run({ store, options, out }) {
    using db = openForReading(store)
    const all = RecallIndex.names(db).map((name) => RecallIndex.open(db, name).status())
    if (options.json) {
      for (const { entries, withVector, behind, ...rest } of all) {
        const numbers = {
          entries: `${entries}`,
          withVector: `${withVector}`,
          behind: `${behind}`,
        }
        out.line(JSON.stringify({ ...rest, ...numbers }))
      }
      return
    }
    if (all.length === 0) out.line('no index yet; `agent-store recall index` makes one')
    else {
      out.table(
        ['index', 'entries', 'with vector', 'logs', 'behind', 'vectors'],
        all.map(({ name, entries, withVector, logs, behind, vectors }) => [
          printableName(name),
          count(entries),
          count(withVector),
          count(logs),
          count(behind),
          vectors === undefined
            ? 'words alone'
            : `${printable(vectors.model)}, ${vectors.dimensions}, ${vectors.distance}`,
        ]),
      )
    }
  },
}

export const rebuild: Command = {
  summary: 'Empty an index, and make it anew from the log.',
  args: [],
  options: MAKING,
  optionHelp: MAKING_HELP,
  notes: 'What made its vectors must be named again: --embed or --vectors.',
  async run({ store, options, out }) {
    using db = openForWriting(store)
    await indexAll(db, options, out, true)
  },
}

export const drop: Command = {
  summary: 'Remove an index and its tables. The log stays as it is.',
  args: [],
  options: { name: { type: 'string' } },
  optionHelp: { '--name NAME': NAMED_HELP['--name NAME'] },
  run({ store, options, out }) {
    using db = openForWriting(store)
    const name = nameOf(options)
    RecallIndex.drop(db, name)
    out.line(`index ${printableName(name)} is gone`)
  },
}

function nameOf({ name }: Options): string {
  return typeof name === 'string' ? name : NAME
}

async function indexAll(db: Backend, options: Options, out: Output, anew: boolean): Promise<void> {
  if (options.embed !== undefined && options.vectors !== undefined) {
    throw new UsageError('--embed and --vectors exclude each other')
  }
  const name = nameOf(options)
  const known = RecallIndex.names(db).includes(name) ? RecallIndex.open(db, name) : undefined
  if (anew && known === undefined) RecallIndex.open(db, name) // which says what there is
  const model = typeof options.model === 'string' ? options.model : known?.vectors?.model
  const isGiven = options.embed !== undefined || options.vectors !== undefined
  if (isGiven && model === undefined) throw new UsageError('vectors need a --model that makes them')
  if (model !== undefined && !isGiven) {
    throw new UsageError(`the vectors of ${JSON.stringify(model)} need --embed or --vectors`)
  }
  // It is looked at twice.
  using input = options.vectors === '-' ? spooledInput() : undefined
  const file = input?.file ?? (typeof options.vectors === 'string' ? options.vectors : undefined)
  using embedder =
    typeof options.embed === 'string' ? embedCommand(options.embed, model ?? '') : undefined
  const index =
    known === undefined
      ? RecallIndex.create(db, name, await definitionOf(options, model, embedder, file))
      : RecallIndex.open(db, name, expectedOf(options))
  if (anew) index.clear()
  const bar = new ProgressBar(Number(index.status().behind))
  let entries = 0
  const onProgress = (done: { readonly entries: number }) => {
    bar.add(done.entries - entries)
    ;({ entries } = done)
  }
  const batch = Number(integerOption(options.batch, '--batch') ?? 64n)
  try {
    const written =
      file !== undefined
        ? indexVectors(index, file, batch, onProgress)
        : (await keepIndexed(index, index.pending(), { ...by(embedder), batch, onProgress }))
            .written
    index.optimize()
    bar.clear()
    const { behind } = index.status()
    if (options.json) out.line(JSON.stringify({ name, entries, written, behind: `${behind}` }))
    else
      out.line(`${count(written)} of ${count(entries)} entries indexed, ${count(behind)} pending`)
    out.flush()
  } finally {
    bar.clear()
  }
  if (options.follow !== true) return
  await keepIndexed(index, follow(db, { after: index.cursor() }), {
    ...by(embedder),
    batch,
    onProgress: (done) => {
      out.line(`${count(done.written)} more`)
      out.flush()
    },
  })
}

function by(embedder: Embedder | undefined): { embedder?: Embedder } {
  return embedder === undefined ? {} : { embedder }
}

/** What the command line takes an index for. */
function expectedOf({ model, distance }: Options): { vectors: Partial<VectorDefinition> } {
  return {
    vectors: {
      ...(typeof model === 'string' ? { model } : {}),
      ...(typeof distance === 'string' ? { distance: distance as Distance } : {}),
    },
  }
}

/** What a new index is for: the dimensions are those of the first vector. */
async function definitionOf(
  { distance = 'cosine' }: Options,
  model: string | undefined,
  embedder: Embedder | undefined,
  file: string | undefined,
): Promise<{ vectors?: VectorDefinition }> {
  if (model === undefined) return {}
  let dimensions = 0
  if (embedder !== undefined) {
    const [vector] = await embedder.embed(['dimensions'], new AbortController().signal)
    dimensions = vector?.length ?? 0
  } else if (file !== undefined) {
    for (const { vector } of vectorLines(file)) {
      dimensions = vector.length
      break
    }
  }
  // Checked by the index, which says what there is.
  return { vectors: { model, dimensions, distance: distance as Distance } }
}

function indexVectors(
  index: RecallIndex,
  file: string,
  batch: number,
  onProgress: (done: { readonly entries: number }) => void,
): number {
  let [written, entries] = [0, 0]
  let some: { readonly entry: Entry; readonly vector: number[] }[] = []
  const store = () => {
    written += index.index(
      some.map(({ entry }) => entry),
      some.map(({ vector }) => vector),
    )
    entries += some.length
    onProgress({ entries })
    some = []
  }
  for (const { number, stream, writer, seq, contentHash, vector } of vectorLines(file)) {
    const entry = WriterLog.entry(index.db, stream, writer, seq)
    if (entry === null) throw new FoundFault(`line ${number}: the log has no such entry`)
    if (contentHash !== undefined && commitEventToJson(entry).contentHash !== contentHash) {
      throw new FoundFault(`line ${number}: the log has another entry there`)
    }
    some.push({ entry, vector })
    if (some.length >= batch) store()
  }
  store()
  return written
}

/** @throws FoundFault that names the line. */
function* vectorLines(file: string): Generator<VectorLine> {
  for (const { number, bytes } of linesOf(file)) {
    const line = vectorLine(number, bytes)
    if (line === undefined) {
      throw new FoundFault(`line ${number}: not a JSON object with stream, writer, seq and vector`)
    }
    yield line
  }
}

interface VectorLine {
  readonly number: number
  readonly stream: string
  readonly writer: string
  readonly seq: bigint
  readonly contentHash: string | undefined
  readonly vector: number[]
}

function vectorLine(number: number, bytes: Uint8Array): VectorLine | undefined {
  let line: unknown
  try {
    line = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
  if (typeof line !== 'object' || line === null) return undefined
  const { stream, writer, seq, contentHash, vector } = line as Record<string, unknown>
  const isLine =
    typeof stream === 'string' &&
    typeof writer === 'string' &&
    (typeof seq === 'string' || typeof seq === 'number') &&
    /^[1-9][0-9]{0,18}$/.test(String(seq)) &&
    Array.isArray(vector) &&
    (contentHash === undefined || typeof contentHash === 'string')
  return isLine ? { number, stream, writer, seq: BigInt(seq), contentHash, vector } : undefined
}

async function vectorOf(
  index: RecallIndex,
  text: string,
  { embed }: Options,
): Promise<Pick<Question, 'vector'>> {
  if (typeof embed !== 'string') return {}
  using embedder = embedCommand(embed, index.vectors?.model ?? '')
  const [vector] = await embedder.embed([text], new AbortController().signal)
  return vector === undefined ? {} : { vector }
}

function selectionOf({ stream, prefix, writer }: Options): Question {
  return {
    ...(typeof stream === 'string' ? { stream } : {}),
    ...(typeof prefix === 'string' ? { prefix } : {}),
    ...(typeof writer === 'string' ? { writer } : {}),
  }
}

function countOf({ k }: Options): number {
  return Number(integerOption(k, '-k') ?? 10n)
}

function toJson({ entry, score, textRank, textScore, vectorRank, vectorScore }: Hit): object {
  return {
    ...commitEventToJson(entry),
    score,
    textRank,
    textScore,
    vectorRank,
    vectorScore,
    text: textOf(entry.payload),
  }
}

function lineOf({ entry, stream, writer, seq, contentHash }: Hit): string {
  const place = `${printableName(stream)}  ${printableName(writer)}  ${seq}`
  const hash = Buffer.from(contentHash).toString('hex', 0, 6)
  const said = (textOf(entry.payload) ?? '').replaceAll(/\s+/g, ' ')
  return `${strong(place)}  ${dim(hash)}\n    ${printable(said, PREVIEW)}`
}

function faultOf(stale: readonly StaleHit[]): string {
  const [first] = stale
  return (
    `${count(stale.length)} indexed entries are not what the log has, the first: ` +
    `stream ${JSON.stringify(first?.stream)} writer ${JSON.stringify(first?.writer)} ` +
    `seq ${first?.seq}, ${first?.reason}; verify the log, then rebuild the index`
  )
}
