/** How many parameters a statement has, as SQLite itself counts them. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { parametersOf } from '../../src/sqlite/parameters.ts'

for (const [sql, count] of [
  ['SELECT 1', 0],
  ['SELECT ?, ? WHERE a = ?', 3],
  ["SELECT '?', 'it''s ?', \"a?\"\"?\", `?`, [?], ?", 1],
  ['SELECT ? -- ? and ?\n, ?', 2],
  ['SELECT ? /* ? */ + ? /* ?', 2],
  ["SELECT json_extract(a, '$.b'), ?", 1],
  ['SELECT ?1, ?2', undefined],
  ['SELECT :name, ?', undefined],
  ['SELECT @name', undefined],
  ['SELECT $näme', undefined],
  ["SELECT ':no', ?", 1],
] as const) {
  test(`${count ?? 'numbered or named'}: ${JSON.stringify(sql)}`, () => {
    assert.equal(parametersOf(sql), count)
  })
}
