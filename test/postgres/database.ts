/**
 * An empty place of its own on the test server for each test: a schema, dropped after it.
 *
 * @module
 */
import { after, type TestContext } from 'node:test'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { findServers } from './installation.ts'
import { databaseUrl, type Server, startServer } from './server.ts'

let made = 0
let admin: PgBackend | undefined
after(() => {
  admin?.close()
  admin = undefined // Bun runs the next file in the same process.
})

/** Options for connections that see nothing but an empty schema, on the test server by default. */
export function emptyPlace(t: Pick<TestContext, 'after'>, url?: string): PgOptions {
  const searchPath = `case_${process.pid}_${++made}`
  if (url !== undefined) {
    using own = PgBackend.connect(url)
    own.exec(`CREATE SCHEMA ${searchPath}`)
    // It goes with its server.
    return { url, searchPath }
  }
  admin ??= PgBackend.connect(databaseUrl())
  const server = admin
  server.exec(`CREATE SCHEMA ${searchPath}`)
  t.after(() => server.exec(`DROP SCHEMA ${searchPath} CASCADE`))
  return { url: databaseUrl(), searchPath }
}

/** A server that is started when it is first asked for. */
interface LazyServer {
  readonly name: string
  readonly url: () => string
}

/**
 * The servers to test on: with `PG_ALL` set, one of each major version that is installed,
 * which flush as the default is; else the one of {@link databaseUrl}.
 */
export function servers(): LazyServer[] {
  if (process.env.PG_ALL === undefined) return [{ name: 'a server', url: databaseUrl }]
  return findServers().map((installation) => {
    let server: Server | undefined
    const url = () => {
      server ??= startServer({ installation })
      return server.url()
    }
    return { name: `PostgreSQL ${installation.major}`, url }
  })
}
