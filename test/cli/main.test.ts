/** The command line, run as a user runs it: real processes, real files, exit statuses. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { entryFromJson, Generation, SqliteBackend, WriterLog } from 'agent-store'

const root = join(import.meta.dirname, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'agent-store-cli-'))
after(() => rmSync(folder, { recursive: true }))

let store = ''
let number = 0
beforeEach(() => {
  store = join(folder, `store-${++number}.db`)
})

interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function cli(
  args: readonly string[],
  input: string | Uint8Array = '',
  env: Record<string, string> = {},
): Outcome {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'src', 'cli', 'main.ts'), ...args],
    {
      input,
      encoding: 'utf8',
      cwd: folder,
      env: { ...process.env, AGENT_STORE: '', ...env },
      maxBuffer: 1 << 28,
    },
  )
  return { status, out: stdout, err: stderr }
}

function ok(
  args: readonly string[],
  input: string | Uint8Array = '',
  env: Record<string, string> = {},
): string {
  const { status, out, err } = cli(args, input, env)
  assert.equal(status, 0, err)
  assert.equal(err, '')
  return out
}

function fails(
  status: number,
  pattern: RegExp,
  args: readonly string[],
  input: string | Uint8Array = '',
): Outcome {
  const outcome = cli(args, input)
  assert.equal(outcome.status, status, outcome.out + outcome.err)
  assert.match(outcome.err, pattern)
  assert.doesNotMatch(outcome.err, /\n +at /, 'no stack trace unless asked')
  return outcome
}

test('--help lists every command, and each command has a page', () => {
  const overview = ok(['--help'])
  const commands = [
    'demo',
    'append',
    'log',
    'heads',
    'streams',
    'verify',
    'import',
    'export',
    'info',
    'migrate',
  ]
  for (const command of commands) {
    assert.ok(overview.includes(`  ${command}`), command)
    const page = ok([command, '--help'])
    assert.match(page, new RegExp(`^agent-store ${command} .*\\[options\\]\n`))
    assert.match(page, /--help/)
  }
  for (const action of ['get', 'bump', 'set']) {
    assert.ok(ok(['generation', '--help']).includes(`generation ${action}`))
    assert.match(
      ok(['generation', action, '--help']),
      new RegExp(`^agent-store generation ${action} `),
    )
  }
  assert.equal(ok([]), overview)
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.equal(ok(['--version']), `${version}\n`)
})

test('append takes an argument, a file or standard input, and log shows them', () => {
  const file = join(folder, 'payload.bin')
  writeFileSync(file, new Uint8Array([0, 255, 10]))
  assert.match(ok(['append', store, 'conv', 'alice', 'hello']), /^conv alice seq 1 [0-9a-f]{64}\n$/)
  ok(['append', store, 'conv', 'alice', '--file', file])
  const pointer = JSON.parse(ok(['append', store, 'conv', 'bob', '--json'], 'from stdin'))
  assert.deepEqual([pointer.stream, pointer.writer, pointer.seq], ['conv', 'bob', '1'])

  const table = ok(['log', store, 'conv'])
  assert.match(table, /alice +1 +[0-9a-f]{12} +5 +hello\n/)
  assert.match(table, /alice +2 +[0-9a-f]{12} +3 +0x00ff0a\n/)
  assert.match(table, /bob +1 +[0-9a-f]{12} +10 +from stdin\n/)
  const entries = ok(['log', store, 'conv', 'alice', '--json'])
    .trim()
    .split('\n')
    .map((l) => entryFromJson(JSON.parse(l)))
  assert.deepEqual(
    entries.map((e) => e.payload),
    [new Uint8Array(Buffer.from('hello')), new Uint8Array([0, 255, 10])],
  )
})

test('log takes --after, --limit and --tail', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 9 }, (_, i) => `entry ${i + 1}`),
  )
  const seqs = (...options: string[]) =>
    ok(['log', store, 's', '--json', ...options])
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).seq)
  assert.deepEqual(seqs('--after', '7'), ['8', '9'])
  assert.deepEqual(seqs('--limit', '2'), ['1', '2'])
  assert.deepEqual(seqs('--after', '3', '--limit', '1'), ['4'])
  assert.deepEqual(seqs('--tail', '2'), ['8', '9'])
  for (const command of ['log', 'heads', 'export']) {
    const { status, out, err } = cli([command, store, 'nothing'])
    assert.equal(status, 0)
    assert.doesNotMatch(out, /nothing/)
    assert.equal(err, 'agent-store: there is no stream "nothing"\n')
  }
  assert.match(cli(['log', store, 's', 'v']).err, /stream "s" has no writer "v"/)
  fails(2, /--after must be a whole number/, ['log', store, 's', '--after', 'x'])
  fails(2, /exclude each other/, ['log', store, 's', '--tail', '1', '--limit', '1'])
})

test('a long log has its heading anew every 200 entries', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 201 }, (_, i) => `entry ${i + 1}`),
  )
  const lines = ok(['log', store, 's']).split('\n')
  const headings = lines.flatMap((line, i) => (line.startsWith('writer') ? [i] : []))
  assert.deepEqual(headings, [0, 201])
})

test('log keeps control characters of a payload or a name away from the terminal', () => {
  ok(['append', store, 's', 'evil\u001b[31m', 'line one\nline two\u001b]0;title\u0007\u202e'])
  const shown = ok(['log', store, 's'])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the point
  assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u202e]/)
  assert.match(shown, /line one⏎line two\\u001b/)
})

test('heads and streams tell what is in a store', () => {
  for (const [stream = '', writer = ''] of [
    ['a:1', 'x'],
    ['a:1', 'y'],
    ['a:1', 'y'],
    ['b', 'x'],
  ]) {
    ok(['append', store, stream, writer, 'p'])
  }
  assert.match(ok(['streams', store]), /a:1 +2 +3\nb +1 +1\n/)
  assert.deepEqual(JSON.parse(ok(['streams', store, 'b', '--json'])), {
    stream: 'b',
    writers: 1,
    entries: '1',
  })
  const heads = ok(['heads', store, '--json'])
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    heads.map((h) => [h.stream, h.writer, h.seq]),
    [
      ['a:1', 'x', '1'],
      ['a:1', 'y', '2'],
      ['b', 'x', '1'],
    ],
  )
  assert.match(ok(['heads', store, 'a:1']), /a:1 +y +2 +[0-9a-f]{64}\n/)
})

test('verify says ok, or exits with 1 and the first bad entry', () => {
  for (const payload of ['one', 'two', 'three']) ok(['append', store, 'conv', 'alice', payload])
  assert.match(ok(['verify', store]), /^ok: 3 entries in 1 log,/)
  assert.match(ok(['verify', store, 'conv']), /^ok: 3 entries/)
  assert.deepEqual(JSON.parse(ok(['verify', store, 'conv', 'alice', '--json'])), {
    ok: true,
    logs: 1,
    entries: '3',
  })
  using db = SqliteBackend.open(store)
  db.exec("UPDATE _agent_store_log SET payload = x'00' WHERE seq = 2")
  fails(1, /stream "conv" writer "alice" at seq 2: content_hash does not match/, ['verify', store])
  const { out } = cli(['verify', store, '--json'])
  const found = JSON.parse(out)
  assert.deepEqual([found.ok, found.code, found.seq], [false, 'STORE_CHAIN_BROKEN', '2'])
  assert.match(cli(['verify', store, '--trace']).err, /\n +at /)
})

test('verify names the first bad entry of each log that is broken', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  for (const stream of ['a', 'b', 'c']) WriterLog.appendMany(db, stream, 'w', ['1', '2', '3'])
  db.exec("UPDATE _agent_store_log SET payload = x'00' WHERE stream <> 'b' AND seq > 1")
  const { err } = fails(1, /^agent-store: 2 of 3 logs are broken$/m, ['verify', store])
  assert.match(err, /stream "a" writer "w" at seq 2.*\n.*stream "c" writer "w" at seq 2/)
  const lines = cli(['verify', store, '--json']).out.trim().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ ok, stream, seq }) => [ok, stream, seq]),
    [
      [false, 'a', '2'],
      [false, 'c', '2'],
    ],
  )
  assert.match(ok(['verify', store, 'b']), /^ok: 3 entries in 1 log,/)
  db.exec("UPDATE _agent_store_log SET stream = x'61' WHERE stream = 'a'")
  fails(1, /stored as text/, ['verify', store])
})

test('help tells of a command as --help does', () => {
  assert.equal(ok(['help', 'append']), ok(['append', '--help']))
  assert.equal(ok(['help', 'generation', 'set']), ok(['generation', 'set', '--help']))
  assert.equal(ok(['help']), ok(['--help']))
  fails(2, /a text that begins with - goes after --; see agent-store log --help$/m, ['log', '-1'])
})

test('an older Node is named, with the one that is needed', () => {
  const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))
  const old = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })`
  const { status, stderr } = spawnSync(process.execPath, ['--import', old, bin, '--version'], {
    encoding: 'utf8',
  })
  assert.match(stderr, /^agent-store needs Node 24\.21 .*; this is Node 20\.20\.2\n$/)
  assert.equal(status, 3)
  const { stdout } = spawnSync(process.execPath, [bin, '--version'], { encoding: 'utf8' })
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
})

test('generation gets, bumps and sets, never back', () => {
  assert.equal(ok(['generation', 'bump', store, 'report']), '1\n')
  assert.equal(ok(['generation', 'set', store, 'report', '9007199254740993']), '9007199254740993\n')
  assert.equal(ok(['generation', 'bump', store, 'report']), '9007199254740994\n')
  assert.equal(ok(['generation', 'get', store, 'report']), '9007199254740994\n')
  assert.equal(ok(['generation', 'get', store, 'other']), '0\n')
  assert.deepEqual(JSON.parse(ok(['generation', 'get', store, '--json'])), {
    key: 'report',
    value: '9007199254740994',
  })
  fails(3, /\[STORE_NON_MONOTONIC_GENERATION\]/, ['generation', 'set', store, 'report', '5'])
  fails(2, /must be a whole number/, ['generation', 'set', store, 'report', 'five'])
  fails(2, /must be from 0 to/, ['generation', 'set', store, 'report', '9223372036854775808'])
})

test('export prints what import takes back byte for byte', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  const payloads = [
    'text',
    '',
    '\ufeffbom \ufffd',
    '{"a": 1.0}',
    '\u0000\u001f\n',
    new Uint8Array([255, 0, 195]),
    new Uint8Array(300_000).fill(200),
  ]
  WriterLog.appendMany(db, 'strëam', '', payloads)
  WriterLog.appendMany(db, '', 'w', payloads.toReversed())
  const lines = ok(['export', store])
  const copy = join(folder, `copy-${number}.db`)
  assert.match(ok(['import', copy, '-'], lines), /^14 entries appended, 0 were there already/)
  assert.equal(ok(['export', copy]), lines)
  assert.match(ok(['import', copy, '-'], lines), /^0 entries appended, 14 were there already/)
  const file = join(folder, `lines-${number}.jsonl`)
  ok(['export', store, 'strëam', '', '--output', file])
  assert.equal(readFileSync(file, 'utf8').trim().split('\n').length, 7)
  fails(2, /exists already/, ['export', store, '--output', file])
})

test('an export that fails leaves no file behind', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(db, 's', 'w', ['one', 'two'])
  db.exec("UPDATE _agent_store_log SET payload = 'text' WHERE seq = 2")
  const file = join(folder, `export-${number}.jsonl`)
  fails(3, /\[STORE_MALFORMED_ROW\]/, ['export', store, '--output', file])
  assert.deepEqual([existsSync(file), existsSync(`${file}.partial`)], [false, false])
})

test('import reports bad lines by number and stores nothing of the file', () => {
  const good = '{"stream":"s","writer":"w","payload":{"role":"user","content":"é"}}'
  const lines = [
    good,
    'nonsense',
    '',
    '{"stream":1,"writer":"w","payload":""}',
    '[]',
    '{"stream":"s","writer":"w"}',
    '{"stream":"s\\ud800","writer":"w","payload":""}',
    good,
    '{"writer":"w","payload":""}',
    '{"stream":"s","writer":"w","payloadBase64":"no base64"}',
    '{"stream":"s","writer":"w","payload":"","seq":"0"}',
    '\ufeff{"stream":"s","writer":"w","payload":""}',
  ].join('\n')
  const { err } = fails(1, /9 bad lines; nothing was stored/, ['import', store, '-'], lines)
  for (const line of [2, 4, 5, 6, 7]) assert.match(err, new RegExp(`^-:${line}: `, 'm'))
  assert.match(err, /^-:9: field "stream" must be text, got nothing$/m)
  assert.match(err, /^-:10: payloadBase64 is not base64$/m)
  assert.match(err, /^-:11: would become seq \d, the line says "0"$/m)
  assert.match(err, /^-:12: starts with a byte-order mark; remove it$/m)
  assert.equal(ok(['streams', store, '--json']), '')
  const kept = cli(['import', store, '-', '--keep-going', '--json'], lines)
  assert.equal(kept.status, 1)
  assert.deepEqual(JSON.parse(kept.out), { imported: 2, present: 0, bad: 9 })
  using db = SqliteBackend.open(store)
  const payload = Buffer.from(WriterLog.entry(db, 's', 'w', 2n)?.payload ?? []).toString()
  assert.equal(payload, '{"role":"user","content":"é"}')
  const invalid = Buffer.concat([
    Buffer.from('{"stream":"s","writer":"w","payload":"'),
    Buffer.from([0xff]),
    Buffer.from('"}'),
  ])
  fails(1, /-:1: not UTF-8/, ['import', store, '-'], invalid)
})

test('import refuses a line whose place or hash would be another', () => {
  ok(['append', store, 's', 'w', 'one'])
  const [line = ''] = ok(['export', store]).split('\n')
  const other = join(folder, `other-${number}.db`)
  ok(['append', other, 's', 'w', 'another'])
  fails(1, /seq 1 of this log is there already, with another hash/, ['import', other, '-'], line)
  fails(
    1,
    /contentHash does not match/,
    ['import', join(folder, 'new.db'), '-'],
    line.replace('"one"', '"two"'),
  )
})

test('import takes other field names, and the real turns with the defaults', (t) => {
  const line = '{"run":"r","agent":"a","message":"m"}'
  ok(
    [
      'import',
      store,
      '-',
      '--stream-field',
      'run',
      '--writer-field',
      'agent',
      '--payload-field',
      'message',
    ],
    line,
  )
  assert.match(ok(['log', store, 'r']), /a +1 +[0-9a-f]{12} +1 +m\n/)
  assert.match(
    ok(['import', store, join(root, 'data', 'agent-turns.jsonl')]),
    /^22 entries appended/,
  )
  const real = join(root, '..', 'shared', 'data', 'agent-turns.jsonl')
  if (!existsSync(real))
    return t.diagnostic('the larger set of real turns is not beside this checkout')
  assert.match(ok(['import', store, real]), /^362 entries appended/)
  assert.match(ok(['verify', store]), /^ok: 385 entries/)
})

test('info shows what the file is', () => {
  ok(['append', store, 's', 'w', 'p'])
  const info = JSON.parse(ok(['info', store, '--json']))
  assert.equal(info.file, store)
  assert.deepEqual(
    [info.journalMode, info.integrity, info.entries, info.logs, info.streams],
    ['wal', 'ok', '1', 1, 1],
  )
  assert.match(info.sqliteVersion, /^3\.\d+\.\d+$/)
  assert.match(ok(['info', store]), /journal mode +wal\n/)
  using db = SqliteBackend.open(store)
  db.query('PRAGMA journal_mode = DELETE')
  assert.match(
    ok(['info', store]),
    /journal mode +delete\n(.*\n)+size +[\d.]+ KiB, and 0 B in the write-ahead log\n/,
  )
})

test('info exits with 1 when SQLite finds damage that reading does not', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  db.query('PRAGMA journal_mode = DELETE')
  db.close()
  const bytes = readFileSync(store)
  const freePages = 36 // where the header of an SQLite file counts them
  bytes.writeUInt32BE(5, freePages)
  writeFileSync(store, bytes)
  const { out } = fails(
    1,
    /^agent-store: the file is damaged: .*; Freelist: size is 0 but should be 5\n$/,
    ['info', store],
  )
  assert.match(out, /integrity +.*; Freelist: size is 0 but should be 5\n/)
})

test('the store may be named by --store or AGENT_STORE', () => {
  const env = { AGENT_STORE: store }
  ok(['append', 's', 'w', 'by environment'], '', env)
  ok(['append', 's', 'w'], 'by environment, from stdin', env)
  ok(['append', '--store', store, 's', 'w', 'by option'])
  assert.match(ok(['verify'], '', env), /^ok: 3 entries/)
  const other = join(folder, `other-${number}.db`)
  ok(['append', other, 's', 'w', 'all arguments given'], '', env)
  assert.match(ok(['verify', '--store', other], '', env), /^ok: 1 entry/)
})

test('a file that is named is never taken for a stream because AGENT_STORE is set', () => {
  const other = join(folder, `other-${number}.db`)
  ok(['append', other, 's', 'w', 'p'])
  for (const command of ['verify', 'export', 'heads', 'log']) {
    const { status, err } = cli([command, other], '', { AGENT_STORE: store })
    assert.equal(status, 2, command)
    assert.match(err, /looks like a store, but AGENT_STORE names/)
  }
  assert.equal(existsSync(store), false)
  fails(2, /there is no stream "typo"/, ['verify', other, 'typo'])
  fails(2, /has no writer "typo"/, ['verify', other, 's', 'typo'])
})

test('import does not hold the lock while it waits for its input', () => {
  ok(['append', store, 's', 'w', 'p'])
  const main = `"${process.execPath}" "${join(root, 'src', 'cli', 'main.ts')}"`
  const line = '{"stream":"s","writer":"w","payload":"late"}'
  const script = `(sleep 3; echo '${line}') | ${main} import "${store}" - & sleep 1; ${main} append "${store}" s w early; wait`
  const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
  assert.equal(stderr, '')
  assert.match(stdout, /^s w seq 2 /)
  assert.match(ok(['log', store, 's', '--tail', '1']), /late/)
})

test('import refuses a forged payload, a lone seq and a lone hash that do not fit', () => {
  ok(['append', store, 's', 'w', 'one'])
  const [line = ''] = ok(['export', store]).split('\n')
  fails(
    1,
    /there already, with another payload/,
    ['import', store, '-'],
    line.replace('"one"', '"two"'),
  )
  fails(
    1,
    /would become seq 2, the line says "7"/,
    ['import', store, '-'],
    '{"stream":"s","writer":"w","payload":"","seq":"7"}',
  )
  fails(
    1,
    /contentHash does not match/,
    ['import', store, '-'],
    '{"stream":"s","writer":"w","payload":"","contentHash":"00"}',
  )
  assert.match(ok(['verify', store]), /^ok: 1 entry/)
})

test('wrong usage exits with 2 and one line that says how', () => {
  fails(2, /no command "nonsense"; there are demo, /, ['nonsense'])
  fails(2, /no store: name a file or a postgres:\/\/ URL, or set AGENT_STORE/, ['log'])
  fails(2, /missing <stream>; usage: agent-store log/, ['log', store])
  fails(2, /too many arguments/, ['info', store, 'more'])
  fails(2, /Unknown option '--nonsense'.*see agent-store log --help/, [
    'log',
    store,
    's',
    '--nonsense',
  ])
  fails(2, /the payload is given twice/, ['append', store, 's', 'w', 'p', '--file', 'f'])
  fails(2, /--on takes a postgres:\/\/ URL, got "fleet.db"/, ['demo', '--on', 'fleet.db'])
})

test('a store that cannot be read exits with 3, and nothing is created', () => {
  for (const command of ['log', 'verify', 'heads', 'streams', 'info', 'export']) {
    const args = command === 'log' ? [command, store, 's'] : [command, store]
    fails(3, /there is no such file.*\[STORE_BACKEND\]/, args)
  }
  assert.equal(existsSync(store), false)
  fails(3, /is a folder/, ['append', folder, 's', 'w', 'p'])
  const text = join(folder, 'text.txt')
  writeFileSync(
    text,
    'this is only a text file, long enough to be looked at by a database. '.repeat(20),
  )
  fails(3, /not a database/, ['log', text, 's'])
  using other = SqliteBackend.open(store)
  other.exec('CREATE TABLE places (url TEXT)')
  fails(3, /without agent-store's tables.*\[STORE_SCHEMA\]/, ['log', store, 's'])
  other.exec('CREATE TABLE _agent_store_log (stream TEXT, line TEXT)')
  fails(3, /is not agent-store's.*\[STORE_SCHEMA\]/, ['append', store, 's', 'w', 'p'])
})

test('a reader that goes away ends it quietly', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 20_000 }, () => 'x'.repeat(100)),
  )
  const script = `"${process.execPath}" "${join(root, 'src', 'cli', 'main.ts')}" export "${store}" | head -n 1`
  const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
  assert.equal(stderr, '')
  assert.equal(JSON.parse(stdout).seq, '1')
})

test('the demo shows a kill without loss, a bell, a verification and a forgery caught', () => {
  const shown = ok(['demo', '--turns', join(root, 'data', 'agent-turns.jsonl')])
  assert.match(shown, /= 22 turns acknowledged, none refused/)
  assert.match(shown, /appends were acknowledged before it died, \d+ are in the store, 0 lost/)
  assert.match(shown, /ding: \(demo:supervisor, supervisor, 1\)/)
  assert.match(shown, /woken by writes to the file: there and back in [0-9.]+ ms/)
  assert.match(shown, /entries in \d+ logs verified/)
  assert.match(shown, /caught: chain broken on stream "demo:doomed" writer "doomed" at seq 7/)
  const file = /The store is (.*)\n/.exec(shown)?.[1] ?? ''
  assert.match(ok(['verify', file]), /^ok: /)
  rmSync(join(file, '..'), { recursive: true })
})

test('the demo says so when its agents cannot read the turns', () => {
  const turns = join(folder, 'turns.jsonl')
  writeFileSync(turns, 'nonsense')
  const { status, err } = cli(['demo', '--turns', turns], '', { TMPDIR: folder })
  assert.equal(status, 1)
  assert.match(
    err,
    /SyntaxError: .*nonsense(.*\n)+agent-store: an agent process failed; see above\n/,
  )
})

test('verify shows a progress bar on a terminal, and only there', (t) => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 3_000 }, () => 'x'),
  )
  const main = `${process.execPath} ${join(root, 'src', 'cli', 'main.ts')}`
  for (const target of ['', ' s', ' s w']) {
    const { error, stdout } = spawnSync(
      'script',
      ['-qec', `${main} verify ${store}${target}`, '/dev/null'],
      { encoding: 'utf8' },
    )
    if (error !== undefined) return t.skip('there is no script(1) to make a terminal')
    assert.match(stdout, /█+░* \d+% {2}[\d,]+ entries/)
    assert.match(stdout, /ok: 3,000 entries/)
  }
})

test('what is empty or large is shown readably', () => {
  ok(['append', store, '', '', 'x'.repeat(5_000)])
  ok(['append', store, '', ''], new Uint8Array(5_000).fill(0xc3))
  ok(['append', store, '', ''], `a${'é'.repeat(2_000)}`)
  // Whole where there is no terminal to be narrow.
  assert.match(ok(['log', store, '']), /"" +1 .* 5,000 +x{5000}\n.* 0x(c3){5000}\n.* aé{2000}\n/)
  assert.match(ok(['heads', store]), /"" +"" +3 /)
  ok(['generation', 'bump', store, ''])
  ok(['generation', 'set', store, 'report', '7'])
  assert.match(ok(['generation', 'get', store]), /counter +value\n"" +1\nreport +7\n/)
  assert.match(
    ok(['info', store]),
    /size +[\d.]+ (KiB|MiB), and [\d.]+ (B|KiB|MiB) in the write-ahead log/,
  )
})

test('a store may have only counters, or only a log', () => {
  using db = SqliteBackend.open(store)
  Generation.ensureSchema(db)
  new Generation('g').bump(db)
  assert.equal(ok(['streams', store]) + ok(['heads', store]) + ok(['log', store, 's']), '')
  assert.deepEqual(cli(['export', store]), {
    status: 0,
    out: '',
    err: 'agent-store: 1 counter is not exported; see `generation get` and `generation set`\n',
  })
  assert.match(ok(['verify', store]), /^ok: 0 entries in 0 logs/)
  assert.equal(JSON.parse(ok(['info', store, '--json'])).counters, 1)
  const other = join(folder, `other-${number}.db`)
  using logOnly = SqliteBackend.open(other)
  WriterLog.ensureSchema(logOnly)
  assert.equal(ok(['generation', 'get', other, 'g']), '0\n')
  assert.equal(JSON.parse(ok(['info', other, '--json'])).counters, 0)
})

test('verify reports a malformed row as a fault, and info a damaged file', () => {
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(
    db,
    's',
    'w',
    Array.from({ length: 400 }, () => 'x'.repeat(200)),
  )
  db.exec("UPDATE _agent_store_log SET payload = 'text' WHERE seq = 3")
  const found = JSON.parse(cli(['verify', store, '--json']).out)
  assert.deepEqual([found.ok, found.code], [false, 'STORE_MALFORMED_ROW'])
  db.query('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
  const bytes = readFileSync(store)
  bytes.fill(0x5a, 4096 * 8, 4096 * 8 + 600)
  writeFileSync(store, bytes)
  const { status, err } = cli(['info', store])
  assert.ok(status === 1 || status === 3, `status ${status}`)
  assert.match(err, /damaged|malformed/)
})
