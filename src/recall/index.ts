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
export { type IndexingOptions, type IndexingProgress, keepIndexed } from './indexer.ts'
export { textOf } from './message-text.ts'
export {
  type Found,
  type Hit,
  type IndexStatus,
  type Question,
  RecallIndex,
  type RecallOptions,
} from './recall-index.ts'
export type { RecallSelection } from './selection.ts'
export type { VectorDefinition } from './tables.ts'
export type { Distance, VectorLike } from './vectors.ts'
export type { StaleHit, StaleReason } from './verified.ts'
