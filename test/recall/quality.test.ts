/**
 * Whether the right turn is found: 24 questions with known answers about 362 real turns of
 * coding agents, by words alone, and by words and an embedder that has no model.
 *
 * The turns are not part of the repository: `AGENT_STORE_TURNS` names their file.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { WriterLog } from 'agent-store'
import { keepIndexed, type Question, RecallIndex, textOf } from 'agent-store/recall'
import { HASHED_LETTERS, hashedLetters, vectorOf } from '../../examples/recall/hashed-letters.ts'
import { PLACES } from './places.ts'
import { QUESTIONS } from './questions.ts'

const beside = join(import.meta.dirname, '../../../shared/data/agent-turns.jsonl')
const file = process.env.AGENT_STORE_TURNS ?? beside
const missing = !existsSync(file) && 'the real turns are not here; AGENT_STORE_TURNS names them'

for (const place of PLACES) {
  suite(place.name, { skip: place.skip || missing }, () => {
    test('the right turn is among the first five', async (t) => {
      const db = await place.open(t)
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        if (line === '') continue
        const { stream, writer, payload } = JSON.parse(line)
        WriterLog.append(db, stream, writer, JSON.stringify(payload))
      }
      const index = RecallIndex.create(db, 'turns', { vectors: HASHED_LETTERS })
      await keepIndexed(index, index.pending(), { embedder: hashedLetters })
      const count = (toQuestion: (text: string) => Question) =>
        QUESTIONS.filter(({ text, answer }) =>
          index
            .search({ ...toQuestion(text), k: 5 })
            .hits.some(({ entry }) => answer.test(textOf(entry.payload) ?? '')),
        ).length
      const words = count((text) => ({ text }))
      const hybrid = count((text) => ({ text, vector: vectorOf(text) }))
      t.diagnostic(`of ${QUESTIONS.length}: ${words} by words, ${hybrid} by both`)
      assert.ok(words >= 17, `${words} by words`)
      assert.ok(hybrid >= 18, `${hybrid} by both`)
    })
  })
}
