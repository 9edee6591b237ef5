/**
 * Turns of a fleet, indexed by their words and by vectors, and questions about them.
 *
 * The turns are those in `data/` of this package, or in the file that is named: one JSON object
 * a line, with `stream`, `writer` and `payload`. What else stands on the command line is asked.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { SqliteBackend, WriterLog } from 'agent-store'
import { keepIndexed, RecallIndex, textOf } from 'agent-store/recall'
import { HASHED_LETTERS, hashedLetters, vectorOf } from './hashed-letters.ts'

/** The turns that come along with the package, wherever this file was copied to. */
const OWN = new URL('data/agent-turns.jsonl', import.meta.resolve('agent-store/package.json'))
const ASKED = [
  'why does the login test fail?',
  'who dropped support for a node version?',
  'how full is the disk',
  'Welche Sekunden stehen im Singular?',
]

const [file = OWN, ...own] = process.argv.slice(2)
const questions = own.length > 0 ? own : ASKED

using db = SqliteBackend.inMemory()
WriterLog.ensureSchema(db)
for (const line of readFileSync(file, 'utf8').split('\n')) {
  if (line === '') continue
  const { stream, writer, payload } = JSON.parse(line)
  WriterLog.append(db, stream, writer, JSON.stringify(payload))
}

const index = RecallIndex.create(db, 'turns', { vectors: HASHED_LETTERS })
const { written } = await keepIndexed(index, index.pending(), { embedder: hashedLetters })
console.log(`${written} turns indexed, by words and by letters of words (no model)`)

for (const text of questions) {
  console.log(`\n${text}`)
  for (const { entry, textRank, vectorRank } of index.search({
    text,
    vector: vectorOf(text),
    k: 3,
  }).hits) {
    const said = (textOf(entry.payload) ?? '').replaceAll(/\s+/g, ' ').slice(0, 90)
    const ranks = `words ${textRank ?? '-'}, letters ${vectorRank ?? '-'}`
    console.log(`  ${entry.stream} ${entry.writer} ${entry.seq} (${ranks}): ${said}`)
  }
}
