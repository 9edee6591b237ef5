/**
 * Refuses, at import, a Node whose SQLite is not safe to use.
 *
 * SQLite before 3.51.3 can corrupt a file that several connections write, when the WAL is reset;
 * and `node:sqlite` before Node 24.20 and 26.6 drops columns from the rows of a prepared statement
 * after another connection has altered the table. `docs/decisions/0009-which-node.md` has the
 * versions that were tried. Bun and Deno have drivers of their own, which `open` looks at.
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
  const isSafe = major > 26 || (major === 26 && minor >= 6) || (major === 24 && minor >= 21)
  if (isSafe) return undefined
  return `agent-store needs Node 24.21 or a later 24, or Node 26.6 or newer; this is Node ${node}`
}

const refusal = refusalOf(process.versions)
if (refusal !== undefined) {
  const error = new UnsupportedNodeError(refusal)
  // Node prints the stack of an error that nobody catches; where it was thrown helps nobody here.
  error.stack = `${error.name}: ${refusal}`
  throw error
}
