/**
 * A database file of a test's own, gone with its folder when the test has ended.
 *
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** The path of a file that does not exist yet, in a folder of its own. */
export function temporaryFile(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'agent-store-'))
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  return join(folder, 'store.db')
}
