/**
 * agent-store/follow: to be told of entries as they are committed, each of them once.
 *
 * @module
 */
export { type ConsumeOptions, consume } from './consume.ts'
export { Consumer } from './consumer.ts'
export { CursorError, StaleCursorError } from './errors.ts'
export { type Bell, type Following, type FollowOptions, follow } from './following.ts'
export { headsOf, type Selection } from './selection.ts'
export { ThreadBell } from './thread-bell.ts'
