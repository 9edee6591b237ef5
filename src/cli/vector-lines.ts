/**
 * Vectors as JSON lines: `stream`, `writer`, `seq`, `vector`, and, where it is to be compared,
 * `contentHash`.
 *
 * @module
 */
import { FoundFault } from './command.ts'
import { linesOf } from './input.ts'

/** The vectors of a file. @throws FoundFault that names the line. */
export function* vectorLines(file: string): Generator<VectorLine> {
  for (const { number, bytes } of linesOf(file)) {
    const line = vectorLine(number, bytes)
    if (line === undefined) {
      throw new FoundFault(`line ${number}: not a JSON object with stream, writer, seq and vector`)
    }
    yield line
  }
}

/** A line, checked. */
export interface VectorLine {
  readonly number: number
  readonly stream: string
  readonly writer: string
  readonly seq: bigint
  readonly contentHash: string | undefined
  readonly vector: number[]
}

function vectorLine(number: number, bytes: Uint8Array): VectorLine | undefined {
  let line: unknown
  try {
    line = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
  if (typeof line !== 'object' || line === null) return undefined
  const { stream, writer, seq, contentHash, vector } = line as Record<string, unknown>
  const isLine =
    typeof stream === 'string' &&
    typeof writer === 'string' &&
    (typeof seq === 'string' || typeof seq === 'number') &&
    /^[1-9][0-9]{0,18}$/.test(String(seq)) &&
    Array.isArray(vector) &&
    (contentHash === undefined || typeof contentHash === 'string')
  return isLine ? { number, stream, writer, seq: BigInt(seq), contentHash, vector } : undefined
}
