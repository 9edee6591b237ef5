/**
 * Vectors such as models make: directions around centres, the same ones in every run.
 *
 * @module
 */
import { numbers } from '../support.ts'

/** @returns a source of vectors; of those after a while some are near to some before. */
export function clustered(dimensions: number, centres: number, seed: number): () => Float32Array {
  const next = numbers(seed)
  const uniform = () => (next(0x7fffffff) + 1) / 0x80000000
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
  const vector = () => Float32Array.from({ length: dimensions }, normal)
  const middles = Array.from({ length: centres }, vector)
  return () => {
    const middle = middles[next(centres)] ?? vector()
    return middle.map((component) => component + 0.6 * normal())
  }
}
