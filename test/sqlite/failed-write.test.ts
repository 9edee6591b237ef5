/**
 * A flush that fails: what is said not to be stored is not there after a crash, and what may be is
 * said to be in doubt. The fault is made by a library that stands before the C library's flush.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Generation, SqliteBackend, WriterLog } from 'agent-store'
import { temporaryFolder } from '../support.ts'

const SOURCE = join(import.meta.dirname, 'failing-flush.c')
const SCRIPT = join(import.meta.dirname, 'failing-flush-process.ts')
const isOnNode = !('bun' in process.versions || 'deno' in process.versions)
const skip =
  process.platform !== 'linux' || !isOnNode
    ? 'the library that makes the fault is for Node on Linux'
    : spawnSync('cc', ['--version']).status !== 0 && 'no C compiler here'

suite('a flush of the WAL that fails', { skip }, () => {
  for (const what of ['append', 'appendMany', 'transaction', 'bump']) {
    for (const mode of ['once', 'always']) {
      test(`${what}, ${mode}: refused and not there, or in doubt`, (t) => {
        const { file, outcome } = runIn(t, what, mode)
        assert.equal(outcome.said, mode === 'once' ? 'STORE_BACKEND' : 'STORE_IN_DOUBT')
        using db = SqliteBackend.open(file)
        const stored = WriterLog.entries(db, 's', 'w').map(({ payload }) =>
          String(Buffer.from(payload)),
        )
        const given = new Generation('g').current(db)
        if (mode === 'once') assert.deepEqual([stored, given], [['before'], 1n])
        WriterLog.verify(db, 's', 'w')
        assert.equal(String(db.query('PRAGMA integrity_check')), 'ok')
      })
    }
  }

  test('the same append again stores it once', (t) => {
    for (const mode of ['once', 'always']) {
      const { file, outcome } = runIn(t, 'append', mode, 'again')
      assert.equal(outcome.again, '2')
      using db = SqliteBackend.open(file)
      const stored = WriterLog.entries(db, 's', 'w').map(({ payload }) =>
        String(Buffer.from(payload)),
      )
      assert.deepEqual(stored, ['before', 'charge'])
    }
  })
})

function runIn(
  t: Parameters<typeof temporaryFolder>[0],
  ...args: readonly string[]
): { file: string; outcome: { said: string; again: string } } {
  const folder = temporaryFolder(t)
  const [file, library] = [join(folder, 'fleet.db'), join(folder, 'failing.so')]
  const built = spawnSync('cc', ['-shared', '-fPIC', '-o', library, SOURCE, '-ldl'], {
    encoding: 'utf8',
  })
  assert.equal(built.status, 0, built.stderr)
  {
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    Generation.ensureSchema(db)
    WriterLog.append(db, 's', 'w', 'before')
    new Generation('g').bump(db)
  }
  const env = { ...process.env, LD_PRELOAD: library, FLUSH_FAULT: join(folder, 'fault') }
  const argv = ['-C', '@agent-store/source', SCRIPT, file, ...args]
  const { stdout, stderr, signal } = spawnSync(process.execPath, argv, { encoding: 'utf8', env })
  assert.equal(signal, 'SIGKILL', stderr)
  return { file, outcome: JSON.parse(stdout) }
}
