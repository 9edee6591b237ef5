/**
 * The stores that recall is tested on: a file, PGlite with its real pgvector, and the server of
 * `AGENT_STORE_TEST_PG_URL` where that has pgvector.
 *
 * @module
 */
import { after, type TestContext } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { type Backend, SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { emptyPlace } from '../postgres/database.ts'
import { temporaryFile } from '../support.ts'

/** A kind of store. */
export interface Place {
  readonly name: string
  readonly skip: string | false
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

/** Why no server can be used, or `false`. */
function withoutPgvector(): string | false {
  if (url === undefined) return 'AGENT_STORE_TEST_PG_URL names no server'
  using db = PgBackend.connect(url)
  const found = db.query("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
  return found.length === 0 && 'the server has no pgvector; run CREATE EXTENSION vector'
}

export const PLACES: readonly Place[] = [
  {
    name: 'a file',
    skip: false,
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
    open(t) {
      const db = PgBackend.connect(emptyPlace(t))
      t.after(() => db.close())
      WriterLog.ensureSchema(db)
      return db
    },
  },
]
