/** `agent-store recall search`, `status` and `drop`: ask the indexes of a store. @module */
import { commitEventToJson } from '../index.ts'
import { type Hit, type Question, RecallIndex, type StaleHit, textOf } from '../recall/index.ts'
import { type Command, FoundFault, integerOption, UsageError } from './command.ts'
import { embedCommand } from './embed-command.ts'
import { count, counted, dim, printable, printableName, strong } from './output.ts'
import { NAMED, NAMED_HELP, nameOf, type Options } from './recall-name.ts'
import { openExisting, openForReading } from './store.ts'

const PREVIEW = 100

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
      out.line(options.json ? JSON.stringify(toJson(hit)) : lineOf(hit, text))
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

export const drop: Command = {
  summary: 'Remove an index and its tables. The log stays as it is.',
  args: [],
  options: { name: { type: 'string' } },
  optionHelp: { '--name NAME': NAMED_HELP['--name NAME'] },
  run({ store, options, out }) {
    using db = openExisting(store)
    const name = nameOf(options)
    RecallIndex.drop(db, name)
    out.line(`index ${printableName(name)} is gone`)
  },
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

function lineOf({ entry, stream, writer, seq, contentHash }: Hit, asked: string): string {
  const place = `${printableName(stream)}  ${printableName(writer)}  ${seq}`
  const hash = Buffer.from(contentHash).toString('hex', 0, 6)
  const said = (textOf(entry.payload) ?? '').replaceAll(/\s+/g, ' ')
  return `${strong(place)}  ${dim(hash)}\n    ${printable(excerpt(said, asked), PREVIEW)}`
}

/** From a little before the longest word that was asked for, where that is not seen otherwise. */
function excerpt(said: string, asked: string): string {
  const plain = said.toLowerCase()
  const words = asked.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []
  for (const word of words.sort((a, b) => b.length - a.length)) {
    // Without an ending, which the entry may have otherwise.
    const at = plain.indexOf(word.slice(0, Math.max(3, word.length - 2)))
    if (at >= 0) return at < PREVIEW / 2 ? said : `…${said.slice(at - PREVIEW / 4)}`
  }
  return said
}

function faultOf(stale: readonly StaleHit[]): string {
  const [first] = stale
  return (
    `${counted(stale.length, 'indexed entry is', 'indexed entries are')} not what the log has, the first: ` +
    `stream ${JSON.stringify(first?.stream)} writer ${JSON.stringify(first?.writer)} ` +
    `seq ${first?.seq}, ${first?.reason}; verify the log, then rebuild the index`
  )
}
