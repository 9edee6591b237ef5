/**
 * agent-store: the causal-ordered, synchronous store that a fleet of agents stands on.
 *
 * @module
 */
import './contract/runtime.ts'

export type { Backend, Dialect, Row, Value } from './contract/backend.ts'
export type { CommitEvent, Entry, Head, LogHead } from './contract/entry.ts'
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
  GenerationRegressedError,
  InDoubtError,
  LogRegressedError,
  MalformedRowError,
  NonMonotonicGenerationError,
  PolicyError,
  SchemaError,
  StaleGenerationError,
  StoreError,
  TwoLibrariesError,
} from './contract/errors.ts'
export { Blake3 } from './hash/blake3.ts'
export { blake3, chainHash } from './hash/chain.ts'
export {
  type CommitEventJson,
  commitEventFromJson,
  commitEventToJson,
  type EntryJson,
  entryFromJson,
  entryToJson,
} from './log/entry-json.ts'
export type { Progress } from './log/verify.ts'
export {
  type AppendOptions,
  type ReadOptions,
  type VerifyOptions,
  WriterLog,
} from './log/writer-log.ts'
export { Doorbell, type DoorbellOptions, type Subscriber } from './primitives/doorbell.ts'
export { type Ed25519KeyObject, Fingerprint } from './primitives/fingerprint.ts'
export { Generation } from './primitives/generation.ts'
export { type BackendKind, StorePolicy } from './primitives/policy.ts'
export { SqliteBackend, type SqliteConnectionOptions } from './sqlite/backend.ts'
export type { BetterSqlite3Database, SqliteConnection } from './sqlite/driver.ts'
export type { Durability, JournalMode, SqliteOptions } from './sqlite/file.ts'
