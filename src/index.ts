/**
 * agent-store: the causal-ordered, synchronous store that a fleet of agents stands on.
 *
 * @module
 */
export { checkParams, checkText } from './arguments.ts'
export type { Backend, Dialect, Row, Value } from './backend.ts'
export { Blake3 } from './blake3.ts'
export { blake3, chainHash } from './chain.ts'
export { type CommitEvent, Doorbell, type DoorbellOptions, type Subscriber } from './doorbell.ts'
export {
  type CommitEventJson,
  commitEventFromJson,
  commitEventToJson,
  type Entry,
  type EntryJson,
  entryFromJson,
  entryToJson,
  type Head,
  type LogHead,
} from './entry.ts'
export {
  BackendError,
  BusyError,
  ChainBrokenError,
  ClosedError,
  ConflictError,
  ConnectionError,
  DeadlineError,
  FileReplacedError,
  GenerationExhaustedError,
  InDoubtError,
  LogRegressedError,
  MalformedRowError,
  NonMonotonicGenerationError,
  PolicyError,
  quote,
  SchemaError,
  StaleGenerationError,
  StoreError,
} from './errors.ts'
export { type Ed25519KeyObject, Fingerprint } from './fingerprint.ts'
export { Generation } from './generation.ts'
export { type BackendKind, StorePolicy } from './policy.ts'
export { ensureTable, type Table } from './schema.ts'
export { SqliteBackend, type SqliteConnectionOptions } from './sqlite.ts'
export type { BetterSqlite3Database, SqliteConnection } from './sqlite-driver.ts'
export type { Durability, JournalMode, SqliteOptions } from './sqlite-file.ts'
export { type TransactionControl, TransactionScope } from './transaction.ts'
export type { Progress } from './verify.ts'
export {
  type AppendOptions,
  type ReadOptions,
  type VerifyOptions,
  WriterLog,
} from './writer-log.ts'
