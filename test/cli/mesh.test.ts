/** `agent-store mesh`, run as a user runs it: real keys, real processes, QUIC on loopback. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Generation, SqliteBackend, WriterLog } from 'agent-store'
import { fingerprintOf, parsePeer, readKeyFile } from 'agent-store/mesh'
import { withoutNetwork } from '../mesh/own-network.ts'
import { withoutIroh as skip } from '../mesh/support.ts'
import { temporaryFolder } from '../support.ts'
import { MAIN, startCommand } from './command-line.ts'

/** A user's home, with a key or not, and the command line in it. */
function home(t: TestContext) {
  const folder = temporaryFolder(t)
  const env = { ...process.env, AMESH_HOME: folder, AGENT_STORE: '' }
  const start = (...args: string[]) => {
    const running = startCommand(t, ['mesh', ...args], { env, cwd: folder })
    const line = async (number: number) => (await running.lines(number))[number - 1] ?? ''
    return { ...running, line }
  }
  return { folder, start, run: (...args: string[]) => start(...args).ended }
}

test('keygen makes the key once, and whoami shows whose it is', async (t) => {
  const { folder, run } = home(t)
  const missing = await run('whoami')
  assert.equal(missing.code, 3)
  assert.match(missing.complaints, /cannot read the key file .*user\.key/)
  const made = await run('keygen')
  assert.equal(made.code, 0)
  const path = join(folder, 'user.key')
  const { fingerprint } = readKeyFile(path)
  assert.equal(made.said, `${fingerprint.toHex()}  ${path}\n`)
  assert.equal(fs.statSync(path).mode & 0o777, 0o600)
  assert.equal((await run('whoami')).said, made.said)
  const again = await run('keygen')
  assert.equal(again.code, 3)
  assert.match(again.complaints, /cannot write a new key file/)
  const other = await run('keygen', '--key', join(folder, 'other.key'))
  assert.notEqual(other.said.slice(0, 64), made.said.slice(0, 64))
})

test('what is missing is said with the way out', async (t) => {
  const { run, folder } = home(t)
  await run('keygen')
  const store = join(folder, 'store.db')
  using db = SqliteBackend.open(store)
  Generation.ensureSchema(db)
  assert.match(
    (await run('ring', store)).complaints,
    /nobody to tell; name somebody by --peer, or --discover them/,
  )
  const nobody = await run('ring', store, '--peer', `${'0'.repeat(64)}@127.0.0.1:1`)
  assert.equal(nobody.code, 3)
  assert.match(nobody.complaints, /the store has no log yet; append to it first/)
  const wrong = await run('ring', store, '--peer', 'somebody')
  assert.equal(wrong.code, 2)
  assert.match(wrong.complaints, /peer must be <64 hex digits>@<ip>:<port>, got "somebody"/)
})

test('ring tells what listen shows: heads at first, then each commit', { skip }, async (t) => {
  const { folder, start, run } = home(t)
  await run('keygen')
  const store = join(folder, 'store.db')
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.appendMany(db, 'conv:1', 'alice', ['one', 'two'])
  const loopback = ['--listen', '127.0.0.1:0,[::1]:0']
  const listener = start('listen', '--count', '3', ...loopback)
  const following = start('listen', '--store', store, '--json', '--count', '4', ...loopback)
  const peer = /^listening as (\S+)$/.exec(await listener.line(1))?.[1] ?? assert.fail()
  const { peer: other } = JSON.parse(await following.line(1)) as { peer: string }
  assert.equal(parsePeer(peer).publicKey.length, 32)
  await following.line(3)

  const ring = start('ring', store, '--follow', '--peer', peer, '--peer', other, ...loopback)
  assert.match(await listener.line(2), /^conv:1 {2}alice {2}2 {2}[0-9a-f]{12}$/)
  WriterLog.append(db, 'conv:2', 'bob', 'hello')
  assert.match(await listener.line(3), /^conv:2 {2}bob {2}1 {2}[0-9a-f]{12}$/)
  WriterLog.append(db, 'conv:1', 'alice', 'three')
  const heard = await listener.ended
  assert.equal(heard.code, 0, heard.complaints)
  const followed = await following.ended
  assert.equal(followed.code, 0, followed.complaints)
  const seqs = followed.said
    .split('\n')
    .slice(1, -1)
    .map((line) => JSON.parse(line).seq)
  assert.deepEqual(seqs, ['1', '2', '1', '3'])
  ring.child.stdout?.destroy()
  WriterLog.append(db, 'conv:1', 'alice', 'four')
  assert.equal((await ring.ended).code, 0)
})

test('listen shows one stream of a store, and no more than asked for', { skip }, async (t) => {
  const { folder, run } = home(t)
  await run('keygen')
  const store = join(folder, 'store.db')
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 'conv:1', 'alice', 'one')
  WriterLog.append(db, 'conv:2', 'bob', 'two')
  const loopback = ['--listen', '127.0.0.1:0,[::1]:0']
  const [bells, entries] = await Promise.all([
    run('listen', 'conv:2', '--count', '0', ...loopback),
    run('listen', 'conv:2', '--store', store, '--count', '1', ...loopback),
  ])
  assert.match(bells.said, /^listening as \S+\n$/)
  assert.match(entries.said, /^listening as \S+\nconv:2 {2}bob {2}1 {2}[0-9a-f]{12}\n$/)
})

test('a peer of another team is not told, and that is said', { skip }, async (t) => {
  const [ours, theirs] = [home(t), home(t)]
  await ours.run('keygen')
  await theirs.run('keygen')
  const store = join(ours.folder, 'store.db')
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'a', 'x')
  const listener = theirs.start('listen', '--listen', '127.0.0.1:0,[::1]:0')
  const peer = /^listening as (\S+)$/.exec(await listener.line(1))?.[1] ?? assert.fail()
  const rung = await ours.run('ring', store, 's', '--peer', peer, '--listen', '127.0.0.1:0,[::1]:0')
  assert.equal(rung.code, 3)
  assert.match(rung.complaints, /another user|different user|team/i)
  assert.match(rung.complaints, /bells that did not reach their peer: 1/)
})

test('peers shows who announces itself, and ring finds them, in a network of their own', {
  skip: skip || withoutNetwork('ip link'),
}, async (t) => {
  const { folder, run } = home(t)
  await run('keygen')
  const store = join(folder, 'store.db')
  using db = SqliteBackend.open(store)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'alice', 'x')
  const script = `
    ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo
    mesh() { "${process.execPath}" "${MAIN}" mesh "$@"; }
    mesh listen --announce --role listener --count 1 --interface 127.0.0.1 > heard &
    sleep 1
    mesh peers --json > json &
    mesh peers --for 2 --interface 127.0.0.1 > peers
    mesh ring "${store}" --discover --interface 127.0.0.1 > rung
    wait`
  const env = { ...process.env, AMESH_HOME: folder, AGENT_STORE: '' }
  const { status, stderr } = spawnSync('unshare', ['-n', 'bash', '-euc', script], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.equal(status, 0, stderr)
  const said = (name: string) => fs.readFileSync(join(folder, name), 'utf8')
  assert.match(said('peers'), /^agent .*\n[0-9a-f]{12} {2}listener {2}.*@127\.0\.0\.1:\d+/)
  const { agent, role, capabilities, peer } = JSON.parse(said('json'))
  assert.deepEqual([role, capabilities], ['listener', ['agent-store-doorbell']])
  assert.equal(fingerprintOf(parsePeer(peer)).toHex(), agent)
  assert.match(said('heard'), /^listening as .*\ns {2}alice {2}1 {2}[0-9a-f]{12}\n$/)
})
