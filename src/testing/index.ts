/**
 * The conformance suite: everything that a backend must do, as data that any test runner
 * can run against any backend.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { conformanceCases } from 'agent-store/testing'
 *
 * for (const { name, needs, run } of conformanceCases) {
 *   const missing = needs.filter((ability) => !mine.includes(ability))
 *   test(`my backend ${name}`, { skip: missing.join() || false }, () => {
 *     const folder = makeEmptyFolder()
 *     run(() => MyBackend.open(folder))
 *   })
 * }
 * ```
 *
 * Beside it stands `MemoryNetwork`, a network of the mesh without sockets.
 *
 * @module
 */
import { backendCases } from './backend-cases.ts'
import type { ConformanceCase } from './case.ts'
import { generationCases } from './generation-cases.ts'
import { verificationCases } from './verification-cases.ts'
import { writerLogCases } from './writer-log-cases.ts'

export type { Ability, ConformanceCase, OpenStore } from './case.ts'
export { MemoryNetwork } from './memory-network.ts'

/** Every case. The order means nothing; each starts from an empty store. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...backendCases,
  ...generationCases,
  ...writerLogCases,
  ...verificationCases,
]
