/** As far as the tests use it: the package ships no declarations. */
declare module 'better-sqlite3' {
  import type { BetterSqlite3Database } from 'agent-store'

  const Database: new (path: string, options?: { timeout?: number }) => BetterSqlite3Database
  export default Database
}
