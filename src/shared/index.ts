/**
 * The second door, `#shared`: what the rooms of this package share and its users do not see.
 *
 * It is named in the `imports` of package.json and not in its `exports`. A room beside the core
 * imports the core through `../index.ts` and this door, and nothing else of it.
 *
 * @module
 */
import '../contract/runtime.ts'

export {
  checkBytes,
  checkCount,
  checkFunction,
  checkInt64,
  checkParams,
  checkText,
  MAX_INT64,
  typeName,
} from '../contract/arguments.ts'
export type { LogName } from '../contract/entry.ts'
export { nameErrors, quote } from '../contract/errors.ts'
export { CURSOR, ensureTable, isTable, LOG, META, type Table } from '../contract/tables.ts'
export { TransactionScope } from '../contract/transaction.ts'
export { throwUncaught } from '../contract/uncaught.ts'
export { BoundedMap } from './bounded-map.ts'
export { sameBytes, sameValues } from './bytes.ts'
export { checkHead, parseHead, sameHead } from './head.ts'
export { logKey } from './log-key.ts'
export { checkSelection, type LogSelection, type SelectedNames } from './log-selection.ts'
export { Queue } from './queue.ts'
export { firstWord, type SqlToken, sqlTokens } from './sql-lexer.ts'
