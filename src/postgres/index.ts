/**
 * agent-store on PostgreSQL: the same primitives on a server that somebody else runs.
 *
 * @module
 */
export { PgBackend } from './backend.ts'
export type { ChannelListener } from './channels.ts'
export type { PgOptions } from './options.ts'
export type { Pglite, PgliteOptions } from './pglite.ts'
export { type Notification, ServerError } from './server-message.ts'
export { isServerUrl, openStore } from './store.ts'
