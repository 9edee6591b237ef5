/**
 * Words on PostgreSQL: a `tsvector` that is made here, and asked through GIN.
 *
 * PostgreSQL has no weight for how rare a word is, and to rank an entry it reads all its words.
 * So each word is weighed by a count, the sum of the weights says which entries are worth
 * reading, and those few are ranked.
 *
 * @module
 */
import type { Backend } from '../index.ts'
import { tellingWords } from './postings.ts'
import { ENTRY_COLUMNS, toCandidate } from './rows.ts'
import type { Selected } from './selection.ts'
import type { Candidate } from './tables.ts'
import type { AskedWord } from './words.ts'

/** Entries that are ranked for a question, unless each of its words alone has more. */
const MOST_POSTINGS = 3_000
/** Entries that GIN lists for a word that is to be counted; far more than are counted. */
const LISTED = 4 * MOST_POSTINGS
/** Entries with all of the words that are ranked at most, the ones indexed last. */
const MOST_RANKED = 3_000
/** Entries of which all words are read, to rank them. */
const LEAST_READ = 120
/** What a `tsvector` keeps. */
const MOST_POSITION = 16_383
const MOST_POSITIONS = 255

/** The best of the entries with some of the words, in the tables that begin with `name`. */
export function byWords(
  db: Backend,
  name: string,
  words: readonly AskedWord[],
  selected: Selected,
  depth: number,
): Candidate[] {
  // Until the end of the snapshot that a search is. For a common word and a LIMIT the planner
  // would rather read all entries; what it then takes for costly, it would compile. And GIN would
  // list all entries that have the word before the LIMIT: it is to stop at so many of them.
  db.query(
    `SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
      set_config('gin_fuzzy_search_limit', '${LISTED}', true)`,
  )
  const one = `(SELECT count(*) FROM
    (SELECT 1 FROM ${name}_entry WHERE words @@ ?::tsquery LIMIT ?) AS counted)`
  let total = 0
  const telling = tellingWords(words, MOST_POSTINGS, (groups, most) => {
    const row = db.query(
      `SELECT (SELECT coalesce(sum(seq), 0)::bigint FROM ${name}_log),
        ${groups.map(() => one).join(', ')}`,
      groups.flatMap((group) => [toTsquery(group, ' & '), BigInt(most)]),
    )[0]
    // Where it stops early it leaves out any: good enough for counting single words, no more.
    db.query("SELECT set_config('gin_fuzzy_search_limit', '0', true)")
    const [gone = 0, ...counts] = (row ?? []).map(Number)
    total = gone
    return counts
  })
  if (telling === undefined) return []
  const single = telling.words.map((word) => toTsquery([word], ''))
  const weights = telling.entries.map((entries) => weightOf(entries, total))
  const having = telling.all ? [toTsquery(telling.words, ' & ')] : single
  // Those of rarer words are few. An expression, so that no index of ids gives the order.
  const newest = ` ORDER BY (e.id + 0) DESC LIMIT ${MOST_RANKED}`
  const parts = having.map(
    () => `SELECT e.id, e.content_hash, ?::float8 AS weight FROM ${name}_entry AS e
      JOIN ${name}_log AS l ON l.id = e.log
      WHERE e.words @@ ?::tsquery${selected.sql}${telling.all ? newest : ''}`,
  )
  const score = single.map(() => '? * ts_rank(e.words, ?::tsquery, 1)').join(' + ')
  // Put together, and kept apart by OFFSET, words are fetched and unpacked once for all ranks.
  const unpacked = `(SELECT id, log, seq, content_hash, words || ''::tsvector AS words
    FROM ${name}_entry WHERE id = best.id OFFSET 0)`
  const rows = db.query(
    `SELECT ${ENTRY_COLUMNS}, (${score})::float8 AS score FROM (
      SELECT id FROM ((${parts.join(') UNION ALL (')})) AS found GROUP BY id, content_hash
      ORDER BY sum(weight) DESC, content_hash LIMIT ?) AS best
    CROSS JOIN LATERAL ${unpacked} AS e JOIN ${name}_log AS l ON l.id = e.log
    ORDER BY score DESC, l.stream, l.writer, e.seq LIMIT ?`,
    [
      ...single.flatMap((query, i) => [weights[i] ?? 0, query]),
      ...having.flatMap((query, i) => [weights[i] ?? 0, query, ...selected.params]),
      BigInt(Math.max(LEAST_READ, 2 * depth)),
      BigInt(depth),
    ],
  )
  return rows.map(toCandidate)
}

/** As BM25 weighs a word by the number of entries that have it. */
function weightOf(entries: number, total: number): number {
  const all = Math.max(total, entries)
  return Math.log(1 + (all - entries + 0.5) / (entries + 0.5))
}

/** Words are letters and digits only, so nothing in quotes has to be escaped. */
export function toTsvector(words: readonly string[]): string {
  const places = new Map<string, number[]>()
  words.forEach((word, i) => {
    const known = places.get(word)
    if (known === undefined) places.set(word, [Math.min(i + 1, MOST_POSITION)])
    else if (i < MOST_POSITION && known.length < MOST_POSITIONS) known.push(i + 1)
  })
  return [...places].map(([word, at]) => `'${word}':${at.join()}`).join(' ')
}

function toTsquery(words: readonly AskedWord[], operator: string): string {
  return words.map(({ word, isPrefix }) => `'${word}'${isPrefix ? ':*' : ''}`).join(operator)
}
