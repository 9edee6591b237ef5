/**
 * Placeholders in SQL: found where PostgreSQL would take a question mark for an operator, and
 * left alone where it is text.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isControl, isRead, readSql } from '../../src/postgres/sql-text.ts'

const CASES: readonly (readonly [sql: string, text: string, parameters: number])[] = [
  ['SELECT 1', 'SELECT 1', 0],
  ['SELECT ?, ?', 'SELECT $1, $2', 2],
  ['SELECT ?::text', 'SELECT $1::text', 1],
  ['SELECT (?)', 'SELECT ($1)', 1],
  ['LIMIT?', 'LIMIT $1', 1],
  ['SELECT 1 WHERE 1=?AND 2=2', 'SELECT 1 WHERE 1=$1 AND 2=2', 1],
  ["SELECT '?'", "SELECT '?'", 0],
  ["SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1", 1],
  ["SELECT '\\', ?", "SELECT '\\', $1", 1],
  ["SELECT E'\\' ?', ?", "SELECT E'\\' ?', $1", 1],
  ["SELECT e'\\\\', ?", "SELECT e'\\\\', $1", 1],
  ["SELECT E'a'\n  'b\\' ?', ?", "SELECT E'a'\n  'b\\' ?', $1", 1],
  ["SELECT E'a' -- c\n 'b\\' ?', ?", "SELECT E'a' -- c\n 'b\\' ?', $1", 1],
  ["SELECT E'a', 'b\\', ?", "SELECT E'a', 'b\\', $1", 1],
  ["SELECT name'\\', ?", "SELECT name'\\', $1", 1],
  ["SELECT U&'\\0441', B'1', X'1F', N'?', ?", "SELECT U&'\\0441', B'1', X'1F', N'?', $1", 1],
  ['SELECT "a?""b", ?', 'SELECT "a?""b", $1', 1],
  ['SELECT $$ ? $$, ?', 'SELECT $$ ? $$, $1', 1],
  ['SELECT $a$ ? $$ ? $a$, ?', 'SELECT $a$ ? $$ ? $a$, $1', 1],
  ['SELECT $ä1$ ? $ä1$, ?', 'SELECT $ä1$ ? $ä1$, $1', 1],
  ['SELECT a$b$, ?, a$b$', 'SELECT a$b$, $1, a$b$', 1],
  ['SELECT ? -- ?\n, ?', 'SELECT $1 -- ?\n, $2', 2],
  ['SELECT ? -- ?\r, ?', 'SELECT $1 -- ?\r, $2', 2],
  ['SELECT ? /* ? /* ? */ ? */, ?', 'SELECT $1 /* ? /* ? */ ? */, $2', 2],
  ['SELECT 1 - -?', 'SELECT 1 - -$1', 1],
  ['SELECT a ?? ?', 'SELECT a ? $1', 1],
  ['SELECT a ??| ?', 'SELECT a ?| $1', 1],
  ['SELECT a @?? ?', 'SELECT a @? $1', 1],
  ['SELECT ????', 'SELECT ??', 0],
  ["SELECT 'unfinished ?", "SELECT 'unfinished ?", 0],
  ['SELECT $$ unfinished ?', 'SELECT $$ unfinished ?', 0],
  ['SELECT /* unfinished ?', 'SELECT /* unfinished ?', 0],
  ['', '', 0],
]

for (const [sql, text, parameters] of CASES) {
  test(`placeholders of ${JSON.stringify(sql)}`, () => {
    const read = readSql(sql)
    assert.deepEqual([read.text, read.parameters], [text, parameters])
  })
}

for (const sql of ['SELECT $1', 'SELECT a = $12', 'SELECT ?1', 'SELECT ?12, ?1']) {
  test(`numbered parameters are refused: ${sql}`, () => {
    assert.throws(() => readSql(sql), { name: 'TypeError', message: /must use \? for its/ })
  })
}

/** Pieces whose number of placeholders is known, however they are put together. */
const PIECES: readonly (readonly [piece: string, text: string])[] = [
  ['?', '$'],
  ['??', '?'],
  ["'a?''b'", "'a?''b'"],
  ["E'\\'?'", "E'\\'?'"],
  ["'?\\'", "'?\\'"],
  ['"?"', '"?"'],
  ['$$?$$', '$$?$$'],
  ['$t$ ? $$ $t$', '$t$ ? $$ $t$'],
  ['-- ?\n', '-- ?\n'],
  ['/* ? /* ? */ */', '/* ? /* ? */ */'],
  ['SELECT', 'SELECT'],
  ['x1', 'x1'],
  ['(', '('],
  [')', ')'],
  [',', ','],
  ['::int', '::int'],
  ['12', '12'],
]

test('SQL of known pieces is read as its pieces are', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }), (pieces) => {
      // Something between them, so that no two make a third, and none continues another.
      let parameters = 0
      const expected = pieces.map(([, text]) => (text === '$' ? `$${++parameters}` : text))
      const read = readSql(pieces.map(([piece]) => piece).join(' , '))
      assert.equal(read.text, expected.join(' , '))
      assert.equal(read.parameters, parameters)
    }),
    { numRuns: 2000 },
  )
})

test('any text is read to its end, and without question marks it is left as it is', () => {
  const alphabet = fc.constantFrom(...`?'"$-/*\\\n\rEeab1_ ;äé`)
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 60 }), (letters) => {
      const sql = letters.join('')
      try {
        const { text, parameters } = readSql(sql)
        if (!sql.includes('?')) assert.deepEqual([text, parameters], [sql, 0])
        assert.ok(parameters <= letters.filter((letter) => letter === '?').length)
      } catch (error) {
        assert.ok(error instanceof TypeError && /[$?]\d/.test(sql), sql)
      }
    }),
    { numRuns: 5000 },
  )
})

for (const sql of [
  'SELECT 1',
  '  -- c\n select 1',
  '(SELECT 1)',
  'VALUES (1)',
  'TABLE t',
  'SHOW all',
  'WITH a AS (SELECT 1) SELECT * FROM a',
  "WITH a AS (SELECT 'delete') SELECT * FROM a",
  'WITH a AS (SELECT 1 AS "update") SELECT * FROM a -- insert',
  'EXPLAIN SELECT 1',
  'EXPLAIN DELETE FROM t',
  'EXPLAIN ANALYZE SELECT 1',
  "SELECT 'into'",
]) {
  test(`it only reads: ${sql}`, () => assert.ok(isRead(readSql(sql))))
}

for (const sql of [
  'INSERT INTO t VALUES (1)',
  'WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a',
  'WITH a AS (SELECT 1) insert INTO t SELECT * FROM a',
  'EXPLAIN ANALYZE DELETE FROM t',
  'EXPLAIN (ANALYZE, COSTS off) INSERT INTO t VALUES (1)',
  'EXPLAIN (ANALYSE) CREATE TABLE t AS SELECT 1',
  'SELECT 1 AS a INTO t',
  'CREATE TABLE t (a int)',
  'DO $$ BEGIN END $$',
  'CALL p()',
]) {
  test(`it may write: ${sql}`, () => assert.ok(!isRead(readSql(sql))))
}

for (const sql of [
  'BEGIN',
  '/* a */ commit',
  'END',
  'ROLLBACK TO a',
  'ABORT',
  'SAVEPOINT a',
  'RELEASE a',
  'START TRANSACTION',
  "PREPARE TRANSACTION 'a'",
  "PREPARE /* a */ TRANSACTION 'a'",
  "COMMIT PREPARED 'a'",
]) {
  test(`it controls transactions: ${sql}`, () => assert.ok(isControl(readSql(sql))))
}

for (const sql of ['PREPARE a AS SELECT 1', "SELECT 'commit'", 'SET TRANSACTION READ ONLY']) {
  test(`it controls none: ${sql}`, () => assert.ok(!isControl(readSql(sql))))
}

test('parameters that are cast to a vector are known', () => {
  const vectors = (sql: string) => [...readSql(sql).vectors]
  assert.deepEqual(
    vectors('SELECT ?, ?::vector, ? :: "x y".halfvec, ?::public.vector(3)'),
    [1, 2, 3],
  )
  assert.deepEqual(vectors("SELECT ?::vectors, ?::text::vector, '?::vector', ?::bytea"), [])
})
