/**
 * An embedder for tests: what a text's first number is, as a direction. No model; it knows
 * nothing of meaning.
 *
 * @module
 */
import type { Embedder } from 'agent-store/recall'

export const NUMBERED = { model: 'numbered', dimensions: 2, distance: 'cosine' } as const

/** The direction of a number. */
export function directionOf(number: number): number[] {
  return [Math.cos(number / 1_000), Math.sin(number / 1_000)]
}

/** @param before Called before each answer, with the texts. */
export function numberedEmbedder(
  before: (texts: readonly string[]) => void | Promise<void> = () => undefined,
): Embedder {
  return {
    model: NUMBERED.model,
    async embed(texts) {
      await before(texts)
      return texts.map((text) => directionOf(Number(/\d+/.exec(text)?.[0] ?? 0)))
    },
  }
}
