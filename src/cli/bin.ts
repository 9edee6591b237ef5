#!/usr/bin/env node
/**
 * What `agent-store` starts: the command line, where this Node can run it. An older Node fails at
 * the first import with a stack, so the check of the version is imported first, by itself.
 *
 * @module
 */
const refusal: unknown = await import('../contract/runtime.ts').then(
  () => undefined,
  (error: unknown) => error,
)
if (refusal === undefined) await import('./main.ts')
else {
  console.error(refusal instanceof Error ? refusal.message : refusal)
  process.exitCode = 3
}

export {}
