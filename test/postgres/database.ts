/**
 * An empty place of its own on the test server for each test: a schema, dropped after it.
 *
 * @module
 */
import type { TestContext } from 'node:test'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { databaseUrl } from './server.ts'

let made = 0

/** Options for connections that see nothing but an empty schema. */
export function emptyPlace(t: Pick<TestContext, 'after'>, url: string = databaseUrl()): PgOptions {
  const searchPath = `case_${process.pid}_${++made}`
  using admin = PgBackend.connect(url)
  admin.exec(`CREATE SCHEMA ${searchPath}`)
  t.after(() => {
    using again = PgBackend.connect(url)
    again.exec(`DROP SCHEMA ${searchPath} CASCADE`)
  })
  return { url, searchPath }
}
