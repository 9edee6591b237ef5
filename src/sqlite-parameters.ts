/**
 * How many parameters a statement of SQLite has. The driver built into Node does not say, and
 * binds NULL for those that are not given.
 *
 * @module
 */
/**
 * What may hold a `?` that is none, and the parameters: `?`, `?1`, `:a`, `@a`, `$a`
 * (https://www.sqlite.org/lang_expr.html#varparam; quotes and comments: sqlite.org/lang.html).
 */
const TOKEN =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\?\d*|[:@$][\p{L}_]/gu

/** The number of `?` in `sql`; `undefined` where parameters are numbered or named. */
export function parametersOf(sql: string): number | undefined {
  let count = 0
  for (const [token] of sql.matchAll(TOKEN)) {
    if (token === '?') count++
    else if (/^[?:@$]/.test(token)) return undefined
  }
  return count
}
