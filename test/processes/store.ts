/**
 * A store by a name that can be handed to another process: the file that it is, or how to
 * reach the server that it is on.
 *
 * @module
 */
import { type Backend, Generation, SqliteBackend, type SqliteOptions, WriterLog } from 'agent-store'
import type { PgOptions } from 'agent-store/postgres'

/** Where a store is, and how to open it. It survives JSON. */
export type Store =
  | { readonly file: string; readonly options?: SqliteOptions }
  | { readonly postgres: PgOptions }

/** What opens the store. Only what it needs has been loaded. */
export async function openerOf(store: Store): Promise<() => Backend> {
  if ('file' in store) return () => SqliteBackend.open(store.file, store.options)
  const { PgBackend } = await import('agent-store/postgres')
  return () => PgBackend.connect(store.postgres)
}

export async function openStore(store: Store): Promise<Backend> {
  return (await openerOf(store))()
}

/** Create its tables. */
export async function createStore(store: Store): Promise<void> {
  using db = await openStore(store)
  createTables(db)
}

export function createTables(db: Backend): void {
  Generation.ensureSchema(db)
  WriterLog.ensureSchema(db)
}
