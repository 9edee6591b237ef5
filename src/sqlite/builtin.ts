/**
 * The SQLite that is built into Node.
 *
 * It is asked for when this module runs, and not when it is linked: a Node that has none gets as
 * far as the refusal in `contract/runtime.ts`.
 *
 * @module
 */
import '../contract/runtime.ts'

/** The module `node:sqlite`. */
export const sqlite: typeof import('node:sqlite') = process.getBuiltinModule('node:sqlite')
