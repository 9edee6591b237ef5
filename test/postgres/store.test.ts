/** Opening what a name or a policy says, and the command line on a server's URL. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import {
  type Backend,
  Generation,
  PolicyError,
  SqliteBackend,
  StorePolicy,
  WriterLog,
} from 'agent-store'
import { openStore, PgBackend } from 'agent-store/postgres'
import { temporaryFile } from '../support.ts'
import { emptyPlace } from './database.ts'
import { databaseUrl, withoutDatabase } from './server.ts'

const skip = withoutDatabase()
const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

/** The URL of an empty schema. */
function emptyUrl(t: Pick<TestContext, 'after'>): string {
  const { searchPath } = emptyPlace(t)
  const url = databaseUrl()
  return `${url}${url.includes('?') ? '&' : '?'}options=-csearch_path%3D${searchPath}`
}

function cli(
  args: readonly string[],
  input = '',
): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    input,
    encoding: 'utf8',
    env: { ...process.env, AGENT_STORE: '' },
  })
  return { status, out: stdout, err: stderr }
}

function ok(args: readonly string[], input = ''): string {
  const { status, out, err } = cli(args, input)
  assert.equal(status, 0, err)
  return out
}

test('a name is a file, a URL is a server', { skip }, (t) => {
  using file = openStore(temporaryFile(t))
  using server = openStore(emptyUrl(t))
  assert.ok(file instanceof SqliteBackend)
  assert.ok(server instanceof PgBackend)
})

test('a policy names the variable that has the URL, and its knobs reach the session', {
  skip,
}, (t) => {
  const variable = 'AGENT_STORE_TEST_POLICY_URL'
  process.env[variable] = databaseUrl()
  t.after(() => delete process.env[variable])
  const { searchPath = '' } = emptyPlace(t)
  const policy = StorePolicy.from({
    backend: 'postgres',
    urlVariable: variable,
    tls: 'disable',
    deadlineMs: 5_000,
    applicationName: 'policy test',
    searchPath,
  })
  using db = openStore(policy)
  assert.deepEqual(db.query("SELECT current_setting('application_name'), current_schema()"), [
    ['policy test', searchPath],
  ])
})

test('a policy whose variable is not set goes by those of libpq', { skip }, (t) => {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl())
  const said = {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  }
  t.after(() => {
    for (const name of Object.keys(said)) delete process.env[name]
  })
  Object.assign(process.env, said)
  const policy = { backend: 'postgres', urlVariable: 'AGENT_STORE_TEST_NOT_SET' } as const
  using db = openStore(StorePolicy.from({ ...policy, connectTimeoutMs: 5_000 }))
  assert.deepEqual(db.query('SELECT current_user, current_database()'), [
    [said.PGUSER, said.PGDATABASE],
  ])
})

test('a policy for SQLite opens its file, and anything else is refused', (t) => {
  using db = openStore(StorePolicy.from(), temporaryFile(t))
  assert.ok(db instanceof SqliteBackend)
  const nothing: unknown = 5
  assert.throws(() => openStore(nothing as string), PolicyError)
})

test('every command speaks to a server as it does to a file', { skip }, (t) => {
  const url = emptyUrl(t)
  const file = temporaryFile(t)
  const lines = Array.from({ length: 30 }, (_, i) =>
    JSON.stringify({ stream: `s${i % 3}`, writer: 'w', payload: `turn ${i}` }),
  ).join('\n')
  for (const store of [url, file]) {
    ok(['import', store, '-'], lines)
    ok(['append', store, 's0', 'shell', 'hello'])
    ok(['generation', 'bump', store, 'report'])
  }
  for (const args of [
    ['streams'],
    ['heads', 's0'],
    ['log', 's1', '--json'],
    ['log', 's2', '--tail', '2'],
    ['verify', '--json'],
    ['generation', 'get', 'report'],
    ['export'],
  ]) {
    const [command = '', ...rest] = args
    const words = command === 'generation' ? [command, rest.shift() ?? ''] : [command]
    assert.equal(ok([...words, url, ...rest]), ok([...words, file, ...rest]), args.join(' '))
  }
  const info = JSON.parse(ok(['info', url, '--json']))
  assert.deepEqual([info.entries, info.streams, info.counters, info.role], ['31', 3, 1, 'primary'])
  assert.match(ok(['info', url]), /PostgreSQL +\d+/)
})

test('migrate lays down what it says, once, and prints it for a review', { skip }, (t) => {
  const url = emptyUrl(t)
  assert.match(
    ok(['migrate', url, '--print', '--append-only']),
    /CREATE TABLE IF NOT EXISTS _agent_store_log/,
  )
  const all = ['--roles', '--schema', 'fleet', '--row-level-security', '--partitions', '4']
  const sql = ok(['migrate', url, '--print', ...all])
  assert.match(sql, /^-- partitions\n(.*\n)+-- step 1, .*\n(.*\n)+-- roles\n/)
  assert.match(sql, /GRANT USAGE, CREATE ON SCHEMA "fleet" TO /)
  assert.match(sql, /\n-- row-level security\n(.*\n)+ +CREATE POLICY/)
  assert.doesNotMatch(sql, /append-only/)
  const few = cli(['migrate', url, '--partitions', '1'])
  assert.equal(few.status, 2)
  assert.match(few.err, /partitions must be an integer from 2 to 1024, got 1/)
  for (let i = 0; i < 2; i++)
    assert.match(ok(['migrate', url, '--append-only']), /done: append-only/)
  ok(['append', url, 's', 'w', 'kept'])
  assert.match(ok(['info', url]), /migrated to step +2/)
  using db: Backend = openStore(url)
  assert.throws(() => db.exec('DELETE FROM _agent_store_log'), { driverCode: 'SA001' })
  assert.throws(() => db.exec('UPDATE _agent_store_log SET seq = 9'), { driverCode: 'SA001' })
  assert.equal(WriterLog.verify(db, 's', 'w')?.seq, 1n)
  assert.equal(new Generation('g').bump(db), 1n)
})

test('what cannot be is said in a line, without the password', { skip }, (t) => {
  const { status, err } = cli(['log', 'postgres://me:s3cret@127.0.0.1:1/x', 's'])
  assert.equal(status, 3)
  assert.match(
    err,
    /^agent-store: cannot connect to me@127.0.0.1:1\/x: .*ECONNREFUSED.* \[STORE_CONNECTION\]\n$/,
  )
  assert.doesNotMatch(err, /s3cret/)
  const empty = cli(['verify', emptyUrl(t)])
  assert.equal(empty.status, 3)
  assert.match(empty.err, /no tables of agent-store in its search path/)
  const file = cli(['migrate', temporaryFile(t)])
  assert.equal(file.status, 2)
  assert.match(file.err, /migrate is for a postgres:\/\/ URL/)
})

test('the demo runs on a server', { skip }, () => {
  const url = databaseUrl()
  const out = ok([
    'demo',
    '--on',
    `${url}${url.includes('?') ? '&' : '?'}connect_timeout=10`,
    '--brief',
  ])
  assert.match(out, /\d+ appends were acknowledged before it died, \d+ are in the store, 0 lost/)
  assert.match(out, /caught: chain broken on stream "demo:doomed" writer "doomed" at seq 7/)
})

after(() => {
  if (skip) return
  using db = PgBackend.connect(databaseUrl())
  const schemas = db.query(
    "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'agent_store_demo_%'",
  )
  for (const [schema] of schemas) db.exec(`DROP SCHEMA ${schema} CASCADE`)
})
