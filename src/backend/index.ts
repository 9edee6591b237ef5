/**
 * For authors of backends and of rooms on top of the store: what a backend needs beside the
 * contract, and what lays a table. Users of the store need nothing of it.
 *
 * @module
 */
import '../contract/runtime.ts'

export { checkParams, checkText } from '../contract/arguments.ts'
export { quote } from '../contract/errors.ts'
export { ensureTable, type Table, type TableShape } from '../contract/tables.ts'
export { type TransactionControl, TransactionScope } from '../contract/transaction.ts'
