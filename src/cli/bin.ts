#!/usr/bin/env node
/**
 * What `agent-store` starts: the command line, where this Node can run it. It imports nothing
 * before it knows, since an older one fails at the first import with a stack.
 *
 * @module
 */
const LEAST = 24

const [major = 0] = process.versions.node.split('.').map(Number)
if (major < LEAST && process.versions.bun === undefined && !('Deno' in globalThis)) {
  console.error(`agent-store: needs Node ${LEAST} or newer, and this is ${process.versions.node}`)
  process.exitCode = 3
} else await import('./main.ts')

export {}
