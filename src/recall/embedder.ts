/**
 * What makes vectors of texts: the consumer's own, or a model of the Vercel AI SDK.
 *
 * @module
 */
import { quote } from '#shared'
import type { VectorLike } from './vectors.ts'

/** Makes vectors of texts. */
export interface Embedder {
  /** What the index was created for. */
  readonly model: string
  /** Texts that one call takes at most. Default: as many as are asked for. */
  readonly mostTexts?: number | undefined
  /**
   * One vector for each text, in their order.
   * @param signal Aborts when nobody waits any more.
   */
  embed(texts: readonly string[], signal: AbortSignal): Promise<readonly VectorLike[]>
}

/**
 * An embedding model of the Vercel AI SDK (`EmbeddingModelV2` and later), by shape: what
 * `openai.textEmbeddingModel('text-embedding-3-small')` and its like return.
 */
export interface AiSdkEmbeddingModel {
  readonly provider: string
  readonly modelId: string
  readonly maxEmbeddingsPerCall: number | undefined | PromiseLike<number | undefined>
  doEmbed(options: {
    readonly values: string[]
    readonly abortSignal?: AbortSignal
  }): PromiseLike<{ readonly embeddings: readonly VectorLike[] }>
}

/**
 * An embedder by a model of the Vercel AI SDK. Its name is `provider:modelId`.
 * @throws TypeError for what is no such model.
 *
 * @example
 * ```ts
 * const embedder = aiSdkEmbedder(openai.textEmbeddingModel('text-embedding-3-small'))
 * ```
 */
export function aiSdkEmbedder(model: AiSdkEmbeddingModel): Embedder {
  if (typeof model?.doEmbed !== 'function' || typeof model.modelId !== 'string') {
    throw new TypeError(
      `model must have modelId and doEmbed, as those of the AI SDK have, got ${quote(model)}`,
    )
  }
  return {
    model: `${model.provider}:${model.modelId}`,
    async embed(texts, signal) {
      const most = (await model.maxEmbeddingsPerCall) ?? texts.length
      const vectors: VectorLike[] = []
      for (let at = 0; at < texts.length; at += Math.max(most, 1)) {
        const values = texts.slice(at, at + Math.max(most, 1))
        const { embeddings } = await model.doEmbed({ values, abortSignal: signal })
        vectors.push(...embeddings)
      }
      return vectors
    },
  }
}
