/**
 * Refuses, at import, a Node whose SQLite can corrupt a file that several connections write.
 *
 * SQLite before 3.51.3 can, when the WAL is reset (https://www.sqlite.org/wal.html). Node 24.15 is
 * the first of its line with a newer one, Node 26 has had one from the start; Node 25 came with
 * older ones, and has ended. Bun and Deno have an SQLite of their own, which `open` looks at.
 *
 * Every door of the package imports this module before anything that an older Node lacks, so that
 * its user reads one line instead of a stack.
 *
 * @module
 */
import { UnsupportedNodeError } from './errors.ts'

/** Returns why this package does not run on these versions; `undefined` where it does. */
export function refusalOf(versions: NodeJS.Dict<string>): string | undefined {
  const { node = '', bun, deno } = versions
  if (bun !== undefined || deno !== undefined) return undefined
  const [major = 0, minor = 0] = node.split('.').map(Number)
  if (major >= 26 || (major === 24 && minor >= 15)) return undefined
  return (
    'agent-store needs Node 24.15 or newer of Node 24, or Node 26 or newer: an older one lacks the ' +
    `SQLite that several processes can share safely; this is Node ${node}`
  )
}

const refusal = refusalOf(process.versions)
if (refusal !== undefined) throw new UnsupportedNodeError(refusal)
