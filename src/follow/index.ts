/**
 * agent-store/follow: to be told of entries as they are committed, each of them once.
 *
 * @module
 */
export { type ConsumeOptions, consume } from './consume.ts'
export { Consumer } from './consumer.ts'
export { CursorError, ForkError, StaleCursorError } from './errors.ts'
export { type Following, follow } from './follow.ts'
export type { Bell, FollowOptions } from './options.ts'
export { headsOf, type Selection } from './selection.ts'
export { ThreadBell } from './thread-bell.ts'
