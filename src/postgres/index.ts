/**
 * agent-store on PostgreSQL: the same primitives on a server that somebody else runs.
 *
 * @module
 */
export { PgBackend } from './backend.ts'
export type { ChannelListener } from './channels.ts'
export { isServerUrl, openStore } from './open-store.ts'
export type { Pglite, PgliteOptions } from './pglite.ts'
export { type Notification, ServerError } from './protocol/server-message.ts'
export type { PgOptions } from './settings/options.ts'
