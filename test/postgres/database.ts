/**
 * An empty place of its own on the test server for each test: a schema, dropped after it.
 *
 * @module
 */
import { after, type TestContext } from 'node:test'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { databaseUrl } from './server.ts'

let made = 0
let admin: PgBackend | undefined
after(() => admin?.close())

/** Options for connections to the test server that see nothing but an empty schema. */
export function emptyPlace(t: Pick<TestContext, 'after'>): PgOptions {
  const url = databaseUrl()
  const searchPath = `case_${process.pid}_${++made}`
  admin ??= PgBackend.connect(url)
  const server = admin
  server.exec(`CREATE SCHEMA ${searchPath}`)
  t.after(() => server.exec(`DROP SCHEMA ${searchPath} CASCADE`))
  return { url, searchPath }
}
