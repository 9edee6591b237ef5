/** `agent-store recall`, run as a user runs it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { SqliteBackend, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'
import { databaseUrl, withoutDatabase } from '../postgres/server.ts'
import { temporaryFolder } from '../support.ts'
import { startCommand } from './command-line.ts'

const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

/** A folder with a store of three entries, and the command line in it. */
function home(t: TestContext) {
  const folder = temporaryFolder(t)
  {
    using db = SqliteBackend.open(join(folder, 'fleet.db'))
    WriterLog.ensureSchema(db)
    WriterLog.append(db, 'run:1', 'alice', 'The login test fails one time in ten.')
    WriterLog.append(db, 'run:1', 'bob', 'It reads the old token.')
    WriterLog.append(db, 'run:2', 'alice', 'The disk is full.')
  }
  const run = (args: readonly string[], input = '') => {
    const options = {
      cwd: folder,
      encoding: 'utf8',
      input,
      env: { ...process.env, AGENT_STORE: '' },
    } as const
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, 'recall', ...args],
      options,
    )
    return { status, stdout, stderr }
  }
  const ok = (args: readonly string[], input = '') => {
    const { status, stdout, stderr } = run(args, input)
    assert.equal(status, 0, stderr)
    return stdout
  }
  return { folder, run, ok }
}

const json = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

test('indexes by words, finds, and shows how it stands', (t) => {
  const { folder, ok } = home(t)
  assert.match(ok(['status', 'fleet.db']), /no index yet/)
  assert.match(ok(['index', 'fleet.db']), /3 of 3 entries indexed, 0 pending/)
  assert.match(
    ok(['search', 'fleet.db', 'tokens']),
    /run:1 {2}bob {2}1 .*\n.*It reads the old token/,
  )
  assert.equal(ok(['search', 'fleet.db', 'giraffe']), 'nothing found\n')
  using long = SqliteBackend.open(join(folder, 'long.db'))
  WriterLog.ensureSchema(long)
  WriterLog.append(long, 's', 'w', `${'filler '.repeat(50)}the needles are here ${'x '.repeat(90)}`)
  ok(['index', 'long.db'])
  assert.match(
    ok(['search', 'long.db', 'where is a needle?']),
    /\n {4}….{0,30}needles are here.*…\n/,
  )
  const [hit, ...more] = json(
    ok(['search', 'fleet.db', 'test disk', '--json', '--stream', 'run:2']),
  )
  assert.deepEqual(more, [])
  assert.deepEqual([hit.stream, hit.writer, hit.seq, hit.textRank], ['run:2', 'alice', '1', 1])
  assert.equal(hit.text, 'The disk is full.')
  using db = SqliteBackend.open(join(folder, 'fleet.db'))
  WriterLog.append(db, 'run:2', 'alice', 'The disk is empty again.')
  const [status] = json(ok(['status', 'fleet.db', '--json']))
  assert.deepEqual([status.entries, status.behind], ['3', '1'])
  assert.match(ok(['index', 'fleet.db']), /1 of 1 entries indexed/)
  assert.match(ok(['rebuild', 'fleet.db']), /4 of 4 entries indexed/)
  assert.match(ok(['drop', 'fleet.db']), /turns is gone/)
})

test('vectors come from a command', (t) => {
  const { folder, run, ok } = home(t)
  // Stands in for a model: counts of a few letters.
  writeFileSync(
    join(folder, 'embed.mjs'),
    `import { createInterface } from 'node:readline'
     for await (const line of createInterface({ input: process.stdin })) {
       const text = JSON.parse(line)
       console.log(JSON.stringify(['k', 'd', 's'].map((c) => 1 + text.split(c).length)))
     }`,
  )
  const embed = ['--embed', `"${process.execPath}" embed.mjs`]
  assert.match(ok(['index', 'fleet.db', '--model', 'letters', ...embed]), /3 of 3/)
  const [status] = json(ok(['status', 'fleet.db', '--json']))
  assert.deepEqual(status.vectors, { model: 'letters', dimensions: 3, distance: 'cosine' })
  assert.equal(status.withVector, '3')
  const hits = json(ok(['search', 'fleet.db', 'disk', '--json', ...embed]))
  assert.equal(hits.length, 3)
  assert.deepEqual([hits[0].stream, hits[0].textRank], ['run:2', 1])
  assert.equal(json(ok(['search', 'fleet.db', 'disk', '--json'])).length, 1)
  const other = run(['index', 'fleet.db', '--model', 'other', ...embed])
  assert.equal(other.status, 3)
  assert.match(other.stderr, /RECALL_DEFINITION/)
  assert.equal(run(['rebuild', 'fleet.db']).status, 2)
  assert.match(ok(['rebuild', 'fleet.db', ...embed]), /3 of 3/)
  const broken = run(['rebuild', 'fleet.db', '--embed', 'exit 7'])
  assert.equal(broken.status, 3)
})

test('vectors come from a file of JSON lines', (t) => {
  const { run, ok } = home(t)
  const line = (stream: string, writer: string, vector: unknown, seq: unknown = '1') =>
    JSON.stringify({ stream, writer, seq, vector })
  const lines = [line('run:1', 'alice', [1, 0]), line('run:1', 'bob', [0, 1], 1)].join('\n')
  const from = ['--model', 'm', '--distance', 'l2', '--vectors', '-']
  assert.match(ok(['index', 'fleet.db', ...from], lines), /2 of 2 entries indexed, 1 pending/)
  for (const [bad, message] of [
    ['{', /line 1: not a JSON object/],
    [line('run:9', 'alice', [1, 0]), /no such entry/],
    [line('run:2', 'alice', [1, 0, 0]), /2 dimensions/],
    [line('run:2', 'alice', 'x'), /line 1: not a JSON object/],
  ] as const) {
    const { status, stderr } = run(['index', 'fleet.db', '--model', 'm', '--vectors', '-'], bad)
    assert.ok(status === 1 || status === 2, stderr)
    assert.match(stderr, message)
  }
})

test('no store is made for an index', (t) => {
  const { folder, run } = home(t)
  for (const command of ['index', 'rebuild', 'drop']) {
    const { status, stderr } = run([command, 'typo.db'])
    assert.notEqual(status, 0)
    assert.match(stderr, /typo\.db.*there is no such file/)
    assert.equal(existsSync(join(folder, 'typo.db')), false)
  }
  assert.match(run(['search', 'fleet.db', 'x']).stderr, /`agent-store recall index`/)
})

test('what cannot be made anew is left as it is', (t) => {
  const { run, ok } = home(t)
  const entries = () => json(ok(['status', 'fleet.db', '--json'])).map((index) => index.entries)
  const line = JSON.stringify({ stream: 'run:1', writer: 'bob', seq: '1', vector: [1, 0] })
  ok(['index', 'fleet.db', '--model', 'm', '--vectors', '-'], line)
  assert.deepEqual(entries(), ['1'])
  for (const [args, message] of [
    [['--vectors', 'nothing.jsonl'], /nothing\.jsonl/],
    [['--vectors', '-', '--batch', '0'], /--batch must be at least 1/],
  ] as const) {
    const { status, stderr } = run(['rebuild', 'fleet.db', ...args], line)
    assert.ok(status !== 0, stderr)
    assert.match(stderr, message)
    assert.deepEqual(entries(), ['1'])
  }
  assert.equal(run(['rebuild', 'fleet.db', '--vectors', '-'], 'nonsense').status, 1)
  assert.deepEqual(entries(), ['1'])
  // A program that says more than vectors: what it says is not taken for them.
  const talking = `echo 'loading the model'; while read -r text; do echo '[1,0]'; done`
  const { status, stderr } = run(['index', 'fleet.db', '--embed', talking])
  assert.equal(status, 3)
  assert.match(stderr, /loading the model/)
  assert.deepEqual(entries(), ['1'])
})

test('an entry that was edited is a fault, and is not shown', (t) => {
  const { folder, run, ok } = home(t)
  ok(['index', 'fleet.db'])
  {
    using db = SqliteBackend.open(join(folder, 'fleet.db'))
    db.exec("UPDATE _agent_store_log SET payload = CAST('x' AS BLOB) WHERE writer = 'bob'")
  }
  const { status, stdout, stderr } = run(['search', 'fleet.db', 'token test'])
  assert.equal(status, 1)
  assert.match(stdout, /login test/)
  assert.doesNotMatch(stdout, /bob/)
  assert.match(stderr, /1 indexed entry is not what the log has.*bob.*broken/)
})

test('wrong usage says what is right', (t) => {
  const { run } = home(t)
  const vectors = ['index', 'fleet.db', '--model', 'm', '--vectors', 'v.jsonl', '--follow']
  assert.match(run(vectors).stderr, /--follow needs --embed/)
  assert.match(run(['index', 'fleet.db', '--distance', 'l2']).stderr, /need a --model/)
  assert.match(run(['search', 'fleet.db', 'x']).stderr, /no index "turns"; there is none yet/)
  assert.equal(run(['search', 'fleet.db', ' ']).status, 2)
  assert.equal(run(['index', 'fleet.db', '--embed', 'cat']).status, 2)
  assert.equal(run(['index', 'fleet.db', '--model', 'm']).status, 2)
  assert.equal(
    run(['index', 'fleet.db', '--embed', 'a', '--vectors', 'b', '--model', 'm']).status,
    2,
  )
  assert.equal(run(['rebuild', 'fleet.db']).status, 3)
})

test('words are indexed on a server as well', { skip: withoutDatabase() }, (t) => {
  const { ok } = home(t)
  const url = databaseUrl()
  using db = PgBackend.connect(url)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, `recall:${process.pid}`, 'w', 'a needle in the log')
  const name = ['--name', `cli ${process.pid}`]
  ok(['index', url, ...name])
  assert.match(ok(['search', url, 'needles', ...name]), /needle/)
  ok(['drop', url, ...name])
})

test('an index says what it is for, as a table or as JSON', (t) => {
  const { folder, run, ok } = home(t)
  const line = (vector: number[], seq = '1', more = {}) =>
    JSON.stringify({ stream: 'run:1', writer: 'alice', seq, vector, ...more })
  const file = join(folder, 'vectors.jsonl')
  const vectors = (...lines: string[]) => {
    writeFileSync(file, lines.join('\n'))
    return ['--model', 'm', '--distance', 'dot', '--vectors', 'vectors.jsonl']
  }
  const made = ok(['index', 'fleet.db', '--json', '--batch', '1', ...vectors(line([1, 0]))])
  assert.deepEqual(json(made), [{ name: 'turns', entries: 1, written: 1, behind: '2' }])
  assert.match(ok(['status', 'fleet.db']), /turns +1 +1 +\d+ +2 +m, 2, dot\n/)
  const other = run(['index', 'fleet.db', '--distance', 'l2', '--vectors', 'vectors.jsonl'])
  assert.match(other.stderr, /RECALL_DEFINITION/)
  for (const [bad, message] of [
    ['5', /line 1: not a JSON object/],
    [line([1, 0], '1', { contentHash: 5 }), /line 1: not a JSON object/],
    [line([1, 0], '1', { contentHash: '00' }), /line 1: the log has another entry there/],
  ] as const) {
    const { status, stderr } = run(['index', 'fleet.db', ...vectors(bad)])
    assert.equal(status, 1, stderr)
    assert.match(stderr, message)
  }
})

test('a search may be narrowed to streams that begin alike, and to a writer', (t) => {
  const { folder, ok } = home(t)
  using db = SqliteBackend.open(join(folder, 'fleet.db'))
  WriterLog.append(db, 'run:3', 'bob', new Uint8Array([0xff]))
  WriterLog.append(db, 'walk:1', 'alice', 'The disk of the walk.')
  ok(['index', 'fleet.db'])
  assert.match(ok(['status', 'fleet.db']), /turns .* words alone\n/)
  const narrowed = ['--prefix', 'run:', '--writer', 'alice', '--json']
  const hits = json(ok(['search', 'fleet.db', 'disk', ...narrowed]))
  assert.deepEqual(
    hits.map(({ stream, writer }) => [stream, writer]),
    [['run:2', 'alice']],
  )
})

test('with --follow it goes on with what is committed', async (t) => {
  const { folder } = home(t)
  const store = join(folder, 'fleet.db')
  const following = startCommand(t, ['recall', 'index', store, '--follow'])
  assert.match((await following.lines(1))[0] ?? '', /3 of 3 entries indexed/)
  using db = SqliteBackend.open(store)
  WriterLog.append(db, 'run:2', 'alice', 'A giraffe on the disk.')
  assert.match((await following.lines(2))[1] ?? '', /^1 more$/)
  following.child.stdout?.destroy()
  WriterLog.append(db, 'run:2', 'alice', 'And another.')
  assert.equal((await following.ended).code, 0)
})
