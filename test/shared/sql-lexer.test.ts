/** SQL cut into tokens: nothing inside quotes or comments is a word or a parameter. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Dialect } from 'agent-store'
import fc from 'fast-check'
import '../from-source.ts'
import { firstWord, sqlTokens } from '../../src/shared/sql-lexer.ts'

const DIALECTS: readonly Dialect[] = ['sqlite', 'postgres']

/** The tokens that are no space, as `kind:text`. */
function shown(sql: string, dialect: Dialect): string[] {
  return [...sqlTokens(sql, dialect)]
    .filter(({ kind }) => kind !== 'space')
    .map(({ kind, start, end }) => `${kind}:${sql.slice(start, end)}`)
}

for (const [dialect, sql, expected] of [
  ['sqlite', "a 'it''s ?' b", ['word:a', "quoted:'it''s ?'", 'word:b']],
  ['sqlite', '"a""b" `c``d` [e]f', ['quoted:"a""b"', 'quoted:`c``d`', 'quoted:[e]', 'word:f']],
  ['sqlite', '-- ?\n?', ['comment:-- ?\n', 'parameter:?']],
  ['sqlite', '/* /* ? */ x', ['comment:/* /* ? */', 'word:x']],
  ['sqlite', '?12 :a @b $cä', ['parameter:?12', 'parameter::a', 'parameter:@b', 'parameter:$cä']],
  ['sqlite', "a'b\n;c", ['word:a', "quoted:'b\n;c"]],
  ['sqlite', ';;x', ['semicolon:;', 'semicolon:;', 'word:x']],
  ['postgres', '/* /* ? */ x */ y', ['comment:/* /* ? */ x */', 'word:y']],
  ['postgres', "E'\\'?' 'a\\'", ["quoted:E'\\'?'", "quoted:'a\\'"]],
  ['postgres', '$t$ ? $$ $t$ $$?$$', ['quoted:$t$ ? $$ $t$', 'quoted:$$?$$']],
  [
    'postgres',
    'a ?? ? ?1 $2',
    ['word:a', 'parameter:??', 'parameter:?', 'parameter:?1', 'parameter:$2'],
  ],
  ['postgres', '[a] `', ['symbol:[', 'word:a', 'symbol:]', 'symbol:`']],
  ['postgres', '-- a\r?', ['comment:-- a\r', 'parameter:?']],
] as const) {
  test(`${dialect}: ${JSON.stringify(sql)}`, () => {
    assert.deepEqual(shown(sql, dialect), expected)
  })
}

for (const [sql, word] of [
  ['select 1', 'SELECT'],
  [' ;; -- begin\n/* commit */ Rollback', 'ROLLBACK'],
  ["'begin'", ''],
  ['', ''],
  ['(select 1)', ''],
  ['begin;', 'BEGIN'],
  [' \v\n\vbegin', 'BEGIN'],
] as const) {
  test(`the first word of ${JSON.stringify(sql)} is ${JSON.stringify(word)}`, () => {
    for (const dialect of DIALECTS) assert.equal(firstWord(sql, dialect), word)
  })
}

test('the tokens of any text are the text, without a gap', () => {
  const alphabet = fc.constantFrom(...`?'"\`[]$-/*\\\n\rEeab1_ ;:@äé`)
  fc.assert(
    fc.property(
      fc.constantFrom(...DIALECTS),
      fc.array(alphabet, { maxLength: 60 }),
      (dialect, letters) => {
        const sql = letters.join('')
        let at = 0
        for (const { start, end } of sqlTokens(sql, dialect)) {
          assert.equal(start, at)
          assert.ok(end > start)
          at = end
        }
        assert.equal(at, sql.length)
      },
    ),
    { numRuns: 5000 },
  )
})

test('a banner of twenty thousand comments, or of open quotes, is read through', () => {
  // One pattern for all comments took twice the time for each: thirty of them took minutes.
  for (const dialect of DIALECTS) {
    assert.equal(firstWord(`${'/* a */ -- b\n'.repeat(20_000)}BEGIN`, dialect), 'BEGIN')
    for (const piece of ["'", '"', '`', '[', '/*', '$a$', "E'"]) {
      const sql = `SELECT ${`${piece} `.repeat(20_001)}`
      assert.equal(firstWord(sql, dialect), 'SELECT')
      assert.ok([...sqlTokens(sql, dialect)].length <= sql.length)
    }
  }
})
