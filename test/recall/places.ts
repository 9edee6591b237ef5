/**
 * The stores that recall is tested on: a file, PGlite with its real pgvector, and a native server
 * with pgvector: that of `AGENT_STORE_TEST_PG_URL`, or else one that is started here.
 *
 * @module
 */
import { after, type TestContext } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from '../postgres/database.ts'
import { findServerWith } from '../postgres/installation.ts'
import { type Server, startServer } from '../postgres/server.ts'
import { temporaryFile } from '../support.ts'

/** A kind of store. */
export interface Place {
  readonly name: string
  readonly skip: string | false
  /** Whether nobody else uses its database. */
  readonly isOurs: boolean
  /** An empty store, closed after the test. */
  open(t: TestContext): Backend | Promise<Backend>
}

const url = process.env.AGENT_STORE_TEST_PG_URL
let pglite: PGlite | undefined
let places = 0
after(() => pglite?.close())

/** The one PGlite of this process, with pgvector installed. */
async function startedPglite(): Promise<PGlite> {
  if (pglite !== undefined) return pglite
  const started = await PGlite.create({ extensions: { vector } })
  await started.exec('CREATE EXTENSION vector')
  pglite = started
  return started
}

const installation = findServerWith('vector')
let server: Server | undefined
after(() => server?.[Symbol.dispose]())

/** Why no server can be used, or `false`. */
function withoutPgvector(): string | false {
  if (url === undefined) return 'missing' in installation && installation.missing
  using db = PgBackend.connect(url)
  const found = db.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
  return found.length === 0 && 'the server has no pgvector; run CREATE EXTENSION vector'
}

/** Of the server with pgvector that this process starts. */
function ownUrl(): string {
  if ('missing' in installation) throw new Error(installation.missing)
  if (server === undefined) {
    server = startServer({ installation, fsync: false })
    using db = PgBackend.connect(server.url())
    db.exec('CREATE EXTENSION vector')
  }
  return server.url()
}

export const PLACES: readonly Place[] = [
  {
    name: 'a file',
    skip: false,
    isOurs: true,
    open(t) {
      const db = SqliteBackend.open(temporaryFile(t), { durability: 'normal' })
      t.after(() => db.close())
      WriterLog.ensureSchema(db)
      return db
    },
  },
  {
    name: 'PGlite',
    skip: false,
    isOurs: true,
    async open(t) {
      const db = PgBackend.onPglite(await startedPglite(), { durability: 'none' })
      t.after(() => db.close())
      const schema = `recall_${++places}`
      db.exec(`CREATE SCHEMA ${schema}`)
      db.query("SELECT set_config('search_path', ?, false)", [schema])
      WriterLog.ensureSchema(db)
      return db
    },
  },
  {
    name: 'a server with pgvector',
    skip: withoutPgvector(),
    isOurs: url === undefined,
    open(t) {
      const db = PgBackend.connect(emptyPlace(t, url === undefined ? ownUrl() : undefined))
      t.after(() => db.close())
      WriterLog.ensureSchema(db)
      return db
    },
  },
]
