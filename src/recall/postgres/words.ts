/**
 * Words on PostgreSQL: a `tsvector` that is made here, and asked through GIN.
 *
 * PostgreSQL has no weight for how rare a word is, and to rank an entry it reads all its words.
 * So the entries of each word are listed, the weights of the words and the length of the entry say
 * which are worth reading, and those few are ranked. Words that the server's own statistics know to be common are
 * not even listed, which saves time and changes no answer.
 *
 * @module
 */
import type { Backend, Value } from '../../index.ts'
import { type CountedWord, tellingWords, wordsInReserve } from '../postings.ts'
import { ENTRY_COLUMNS, toCandidate } from '../rows.ts'
import type { Candidate } from '../tables.ts'
import type { AskedWord } from '../words.ts'
import type { PostgresFilter } from './filter.ts'
import { toTsquery } from './ts-query.ts'

/** Entries that are weighed for a question, unless each of its words alone has more. */
const MOST_POSTINGS = 1_500
/** Entries that GIN lists for one word; beyond that it leaves out any. */
const LISTED = 4 * MOST_POSTINGS
/** Where statistics say that so large a part of the entries has a word, they are about right. */
const SURELY = 0.01
/** Entries of which all words are read, to rank them. */
const LEAST_READ = 120
/** What a `tsvector` keeps. */
const MOST_POSITION = 16_383
const MOST_POSITIONS = 255
/** What the lexemes and positions of a `tsvector` may take, which is 2^20, less what aligns them. */
const MOST_BYTES = 900_000
/** A posting: the id of the entry, the first 8 bytes of its hash, and how many words it has. */
const POSTING_BYTES = 20

/** The best of the entries with some of the words, in the tables that begin with `name`. */
export function byWords(
  db: Backend,
  name: string,
  words: readonly AskedWord[],
  filter: PostgresFilter,
  isAll: boolean,
  depth: number,
): Candidate[] {
  // Until the end of the snapshot that a search is. For a common word and a LIMIT the planner
  // would rather read all entries; what it then takes for costly, it would compile. And GIN would
  // list all entries that have the word before the LIMIT: it is to stop at so many of them.
  db.query(
    `SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
      set_config('plan_cache_mode', 'force_generic_plan', true),
      set_config('gin_fuzzy_search_limit', '${LISTED}', true)`,
  )
  const postings = new Map<AskedWord, Uint8Array>()
  const { total, counted } = listed(db, name, words, filter, postings)
  const telling = tellingWords(counted, MOST_POSTINGS)
  const { rare, common } = telling
  const weigh = ({ word, entries }: CountedWord): Weighed => ({
    query: toTsquery([word], ''),
    weight: weightOf(entries, total),
    found: postings.get(word) ?? new Uint8Array(),
  })
  const weighed = (rare.length > 0 ? rare : common).map(weigh)
  const read = Math.max(LEAST_READ, 2 * depth)
  const ids = new Set(
    rare.length > 0 ? heaviest(weighed, read) : shortest(db, name, common, ' & ', filter, read),
  )
  if (ids.size < depth) {
    const others = wordsInReserve(telling, isAll)
    for (const id of shortest(db, name, others, ' | ', filter, read)) ids.add(id)
    if (rare.length > 0) weighed.push(...others.map(weigh))
  }
  return ids.size === 0 ? [] : ranked(db, name, [...ids], weighed, depth)
}

/** Count the words, and list the entries of those that are not common. */
function listed(
  db: Backend,
  name: string,
  words: readonly AskedWord[],
  filter: PostgresFilter,
  postings: Map<AskedWord, Uint8Array>,
): { total: number; counted: CountedWord[] } {
  const most = BigInt(MOST_POSTINGS + 1)
  const rows = db.query(
    `WITH logged AS MATERIALIZED (SELECT coalesce(sum(seq), 0)::bigint AS total FROM ${name}_log),
      common AS MATERIALIZED (
        SELECT word FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname
          CROSS JOIN unnest(most_common_elems::text::text[], most_common_elem_freqs) AS t (word, part)
        WHERE c.oid = to_regclass(?)::oid AND s.attname = 'words'
          AND part >= ${SURELY} AND part * c.reltuples >= 2 * ?)
    SELECT logged.total, CASE WHEN asked.is_common THEN ? ELSE list.entries END, list.found
    FROM logged CROSS JOIN (
      SELECT n, common.word IS NOT NULL AS is_common,
        CASE WHEN common.word IS NULL THEN query END AS query
      FROM unnest(?::text[], ?::text[]) WITH ORDINALITY AS u (word, query, n)
        LEFT JOIN common ON common.word = u.word) AS asked
    CROSS JOIN LATERAL (
      SELECT count(*) AS entries, string_agg(int8send(id) || substr(content_hash || int8send(0), 1, 8) || int4send(size), ''::bytea)
        FILTER (WHERE ${filter.sql}) AS found
      FROM (SELECT id, log, seq, content_hash, size FROM ${name}_entry
        WHERE words @@ asked.query::tsquery LIMIT ?) AS e) AS list
    ORDER BY asked.n`,
    [
      `${name}_entry`,
      most,
      most,
      // Statistics know of words, not of their beginnings.
      `{${words.map(({ word, isPrefix }) => (isPrefix ? 'NULL' : `"${word}"`)).join()}}`,
      `{${words.map((word) => `"${toTsquery([word], '')}"`).join()}}`,
      ...filter.params,
      most,
    ],
  )
  const counted = words.map((word, i) => {
    const [, entries, found] = rows[i] ?? []
    if (found instanceof Uint8Array) postings.set(word, found)
    return { word, entries: Number(entries) }
  })
  return { total: Number(rows[0]?.[0]), counted }
}

interface Weighed {
  readonly query: string
  readonly weight: number
  readonly found: Uint8Array
}

/**
 * The entries that should rank first, by the weights of their words and by how much else they say,
 * as `ts_rank` counts that; ties by hash, which rebuilding keeps.
 */
function heaviest(weighed: readonly Weighed[], most: number): bigint[] {
  const all = new Map<bigint, { id: bigint; hash: bigint; weight: number }>()
  for (const { found, weight } of weighed) {
    const view = new DataView(found.buffer, found.byteOffset, found.byteLength)
    for (let at = 0; at < found.byteLength; at += POSTING_BYTES) {
      const id = view.getBigInt64(at)
      const share = weight / Math.log2(view.getInt32(at + 16) + 1)
      const known = all.get(id)
      if (known === undefined) all.set(id, { id, hash: view.getBigUint64(at + 8), weight: share })
      else known.weight += share
    }
  }
  return [...all.values()]
    .sort((a, b) => b.weight - a.weight || (a.hash < b.hash ? -1 : 1))
    .slice(0, most)
    .map(({ id }) => id)
}

/** Entries with all or any of the words: those that say the least else. */
function shortest(
  db: Backend,
  name: string,
  words: readonly CountedWord[],
  operator: string,
  filter: PostgresFilter,
  most: number,
): bigint[] {
  if (words.length === 0) return []
  // Here none may be left out.
  db.query("SELECT set_config('gin_fuzzy_search_limit', '0', true)")
  const rows = db.query(
    `SELECT id FROM ${name}_entry AS e WHERE words @@ ?::tsquery AND ${filter.sql}
      ORDER BY size, content_hash LIMIT ?`,
    [
      toTsquery(
        words.map(({ word }) => word),
        operator,
      ),
      ...filter.params,
      BigInt(most),
    ],
  )
  return rows.flatMap(([id]) => (typeof id === 'bigint' ? [id] : []))
}

function ranked(
  db: Backend,
  name: string,
  ids: readonly Value[],
  weighed: readonly Weighed[],
  depth: number,
): Candidate[] {
  const score = weighed.map(() => '? * ts_rank(e.words, ?::tsquery, 1)').join(' + ')
  const rows = db.query(
    `SELECT ${ENTRY_COLUMNS}, (${score})::float8 AS score
      FROM ${name}_entry AS e JOIN ${name}_log AS l ON l.id = e.log
      WHERE e.id = ANY (?::bigint[]) ORDER BY score DESC, l.stream, l.writer, e.seq LIMIT ?`,
    [...weighed.flatMap(({ weight, query }) => [weight, query]), `{${ids.join()}}`, BigInt(depth)],
  )
  return rows.map(toCandidate)
}

/** As BM25 weighs a word by the number of entries that have it. */
function weightOf(entries: number, total: number): number {
  const all = Math.max(total, entries)
  return Math.log(1 + (all - entries + 0.5) / (entries + 0.5))
}

/**
 * Words are letters and digits only, so nothing in quotes has to be escaped. Of an entry with more
 * than a `tsvector` can hold, the first words count.
 */
export function toTsvector(words: readonly string[]): string {
  const places = new Map<string, number[]>()
  let bytes = 0
  for (const [i, word] of words.entries()) {
    const known = places.get(word)
    if (known === undefined) {
      // The word, a count and a place; each but the place, and both together, at an even address.
      bytes += Buffer.byteLength(word) + 6
      if (bytes > MOST_BYTES) break
      places.set(word, [Math.min(i + 1, MOST_POSITION)])
    } else if (i < MOST_POSITION && known.length < MOST_POSITIONS) {
      bytes += 2
      known.push(i + 1)
    }
  }
  return [...places].map(([word, at]) => `'${word}':${at.join()}`).join(' ')
}
