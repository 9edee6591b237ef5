/** A standby follows its primary, and takes its place. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { findProgram, findServers } from './installation.ts'
import { type Server, startServer, withoutServer } from './server.ts'
import { startStandby } from './standby.ts'

const psql = findProgram('psql')
const skip = withoutServer() || (psql === undefined && 'psql is not installed')

/** What `psql` prints for one statement. */
function ask(server: Server, sql: string): string {
  const args = ['--no-psqlrc', '-qAt', '-c', sql, server.url()]
  const { stdout, stderr, status } = spawnSync(psql ?? '', args, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return stdout.trim()
}

function failOver(t: TestContext, options: Parameters<typeof startServer>[0]): void {
  const primary = startServer(options)
  t.after(() => primary[Symbol.dispose]())
  const standby = startStandby(primary, { synchronous: true })
  t.after(() => standby[Symbol.dispose]())
  ask(primary, 'CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS n')
  assert.equal(ask(standby, 'SELECT count(*) FROM numbers'), '1000')
  primary.kill()
  standby.promote()
  ask(standby, 'INSERT INTO numbers VALUES (1001)')
  primary.configure("synchronous_standby_names = ''")
  primary.start()
  ask(primary, 'INSERT INTO numbers VALUES (-1), (-2)')
  assert.equal(ask(primary, 'SELECT count(*) FROM numbers'), '1002')
  assert.equal(ask(standby, 'SELECT count(*) FROM numbers'), '1001')
}

for (const installation of findServers()) {
  test(
    `PostgreSQL ${installation.major}: a standby has every commit, and both write after a failover`,
    {
      skip,
    },
    (t) => failOver(t, { installation }),
  )
}
