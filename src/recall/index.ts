/**
 * agent-store/recall: finding what was once said, by words and by meaning, in entries whose
 * place in the chain is verified.
 *
 * @module
 */

export { type AiSdkEmbeddingModel, aiSdkEmbedder, type Embedder } from './embedder.ts'
export {
  type DefinedField,
  EmbeddingError,
  ExtensionError,
  IndexCursorError,
  IndexDefinitionError,
  IndexVersionError,
  RecallError,
  UnknownIndexError,
} from './errors.ts'
export type { PendingSelection } from './index-cursor.ts'
export { type IndexingOptions, type IndexingProgress, keepIndexed } from './indexer.ts'
export { textOf } from './message-text.ts'
export type {
  Found,
  Hit,
  IndexStatus,
  Question,
  RecallOptions,
  StaleHit,
  StaleReason,
} from './question.ts'
export { RecallIndex } from './recall-index.ts'
export type { RecallSelection } from './selection.ts'
export type { VectorDefinition } from './tables.ts'
export type { Distance, VectorLike } from './vectors.ts'
