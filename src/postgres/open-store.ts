/**
 * Opening whatever a name or a policy says: a file, or a server.
 *
 * @module
 */
import { quote } from '#shared'
import { type Backend, PolicyError, SqliteBackend, StorePolicy } from '../index.ts'
import { PgBackend } from './backend.ts'

/** Whether the name of a store is a server's URL. */
export function isServerUrl(store: string): boolean {
  return /^postgres(?:ql)?:\/\//i.test(store)
}

/**
 * Open a store: a `postgres://` URL on its server, another text as an SQLite file, a policy as it
 * says.
 * @param path The file where a policy for SQLite names none.
 * @throws PolicyError when a policy does not say where the store is.
 * @throws what `SqliteBackend.open` and `PgBackend.connect` throw.
 *
 * @example
 * ```ts
 * using db = openStore(StorePolicy.from({ backend: 'postgres', reconnect: true }))
 * ```
 */
export function openStore(store: string | StorePolicy, path?: string): Backend {
  if (typeof store === 'string') {
    return isServerUrl(store) ? PgBackend.connect(store) : SqliteBackend.open(store)
  }
  if (!(store instanceof StorePolicy)) {
    throw new PolicyError(`a store must be a file, a URL or a StorePolicy, got ${quote(store)}`)
  }
  if (store.backend === 'sqlite') return store.open(path)
  const { urlVariable, tls, pooler, reconnect, notify, connectTimeoutMs, deadlineMs } = store
  const { searchPath, applicationName } = store
  const url = process.env[urlVariable]
  return PgBackend.connect({
    pooler,
    reconnect,
    notify,
    deadlineMs,
    ...(url === undefined || url === '' ? {} : { url }),
    ...(tls === undefined ? {} : { tls }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(searchPath === undefined ? {} : { searchPath }),
    ...(applicationName === undefined ? {} : { applicationName }),
  })
}
