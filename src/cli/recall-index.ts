/** `agent-store recall index` and `rebuild`: take in what is new in the log. @module */
import { follow } from '../follow/index.ts'
import { type Backend, commitEventToJson, type Entry, WriterLog } from '../index.ts'
import {
  type Distance,
  type Embedder,
  type IndexingOptions,
  keepIndexed,
  RecallIndex,
  type VectorDefinition,
} from '../recall/index.ts'
import { type Command, FoundFault, integerOption, UsageError } from './command.ts'
import { embedCommand } from './embed-command.ts'
import { lookInto, spooledInput } from './input.ts'
import { count, type Output } from './output.ts'
import { ProgressBar } from './progress.ts'
import { NAMED, NAMED_HELP, nameOf, type Options } from './recall-name.ts'
import { openExisting } from './store.ts'
import { vectorLines } from './vector-lines.ts'

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
export const indexCommand: Command = {
  summary: 'Index what is new in the log, by words, and by vectors where a model is named.',
  args: [],
  options: { ...MAKING, follow: { type: 'boolean' } },
  optionHelp: { ...MAKING_HELP, '--follow': 'go on with what is committed, until interrupted' },
  notes:
    'The index is made where it is missing. It lies in tables of its own; the log is never changed.\n' +
    'Interrupted or killed, it goes on where it was.',
  async run({ store, options, out }) {
    using db = openExisting(store)
    await indexAll(db, options, out, false)
  },
}

export const rebuild: Command = {
  summary: 'Empty an index, and make it anew from the log.',
  args: [],
  options: MAKING,
  optionHelp: MAKING_HELP,
  notes: 'What made its vectors must be named again: --embed or --vectors.',
  async run({ store, options, out }) {
    using db = openExisting(store)
    await indexAll(db, options, out, true)
  },
}

async function indexAll(db: Backend, options: Options, out: Output, anew: boolean): Promise<void> {
  if (options.embed !== undefined && options.vectors !== undefined) {
    throw new UsageError('--embed and --vectors exclude each other')
  }
  if (options.vectors !== undefined && options.follow === true) {
    throw new UsageError('--vectors is a file of what there is now; --follow needs --embed')
  }
  const batch = Number(integerOption(options.batch, '--batch') ?? 64n)
  if (batch < 1) throw new UsageError('--batch must be at least 1')
  const name = nameOf(options)
  const known = RecallIndex.names(db).includes(name) ? RecallIndex.open(db, name) : undefined
  if (anew && known === undefined) RecallIndex.open(db, name) // which says what there is
  const model = typeof options.model === 'string' ? options.model : known?.vectors?.model
  const isGiven = options.embed !== undefined || options.vectors !== undefined
  if (isGiven && model === undefined) throw new UsageError('vectors need a --model that makes them')
  if (model !== undefined && !isGiven) {
    throw new UsageError(`the vectors of ${JSON.stringify(model)} need --embed or --vectors`)
  }
  if (model === undefined && options.distance !== undefined) {
    throw new UsageError('--distance is that of vectors, which need a --model that makes them')
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
  if (anew) {
    // What cannot be read is to be said before anything is gone.
    if (file !== undefined) lookInto(vectorLines(file))
    index.clear()
  }
  const bar = new ProgressBar(Number(index.status().behind))
  let entries = 0
  const onProgress = (done: { readonly entries: number }) => {
    bar.add(done.entries - entries)
    ;({ entries } = done)
  }
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

function by(embedder: Embedder | undefined): Pick<IndexingOptions, 'embedder' | 'retries'> {
  // A program that has ended, or that answers something else, does so again.
  return embedder === undefined ? {} : { embedder, retries: 0 }
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
