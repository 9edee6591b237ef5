/**
 * The policy: safe where nothing is said, and strict about what is said.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { PolicyError, StorePolicy, WriterLog } from 'agent-store'
import { temporaryFolder } from '../support.ts'

const synchronous = (policy: StorePolicy, path: string) => {
  using db = policy.open(path)
  return db.query('PRAGMA synchronous')[0]?.[0]
}

test('nothing said is a durable SQLite file with a five second wait', () => {
  for (const policy of [StorePolicy.from(), StorePolicy.from({})]) {
    const { backend, path, durability, busyTimeoutMs } = policy
    assert.deepEqual(
      [backend, path, durability, busyTimeoutMs],
      ['sqlite', undefined, 'full', 5_000],
    )
  }
})

test('undefined counts as nothing said', () => {
  const policy = StorePolicy.from({
    backend: undefined,
    durability: undefined,
    busyTimeoutMs: undefined,
  })
  assert.deepEqual(
    [policy.backend, policy.durability, policy.busyTimeoutMs],
    ['sqlite', 'full', 5_000],
  )
})

test('every knob reaches the database', (t) => {
  const path = join(temporaryFolder(t), 'policy.db')
  const policy = StorePolicy.from({
    backend: 'sqlite',
    path,
    durability: 'normal',
    busyTimeoutMs: 77,
  })
  using db = policy.open()
  assert.equal(db.path, path)
  db.connection // from here on SQLite waits by itself
  assert.equal(db.query('PRAGMA busy_timeout')[0]?.[0], 77n)
  assert.equal(db.query('PRAGMA synchronous')[0]?.[0], 1n)
})

test('full durability is synchronous=FULL', (t) => {
  assert.equal(synchronous(StorePolicy.from(), join(temporaryFolder(t), 'full.db')), 2n)
})

test("the path of the policy wins over the consumer's own", (t) => {
  const folder = temporaryFolder(t)
  using db = StorePolicy.from({ path: join(folder, 'policy.db') }).open(join(folder, 'own.db'))
  assert.equal(db.path, join(folder, 'policy.db'))
  assert.equal(fs.existsSync(join(folder, 'own.db')), false)
})

test('a policy can be opened for reading only', (t) => {
  const path = join(temporaryFolder(t), 'read.db')
  const policy = StorePolicy.from({ path })
  {
    using db = policy.open()
    WriterLog.ensureSchema(db)
  }
  using db = policy.open(undefined, { readOnly: true })
  assert.throws(() => WriterLog.append(db, 's', 'w', 'x'), { code: 'STORE_BACKEND' })
})

test('a policy cannot be changed', () => {
  assert.throws(() => Object.assign(StorePolicy.from(), { durability: 'normal' }), TypeError)
})

test('no path at all is said before anything is opened', () => {
  assert.throws(() => StorePolicy.from().open(), PolicyError)
})

test('postgres is a known name, and is opened by the module that knows servers', () => {
  const policy = StorePolicy.from({ backend: 'postgres' })
  assert.equal(policy.backend, 'postgres')
  assert.throws(() => policy.open('x.db'), /opened by openStore of 'agent-store\/postgres'/)
})

const REFUSED: readonly (readonly [unknown, RegExp])[] = [
  [null, /must be an object, got null/],
  ['sqlite', /must be an object, got "sqlite"/],
  [[], /must be an object/],
  [
    { durabilty: 'full' },
    /unknown key "durabilty" .* known are backend, path, durability, busyTimeoutMs/,
  ],
  [{ backend: 'redis' }, /unknown backend "redis"; known are sqlite, postgres/],
  [{ backend: null }, /unknown backend null/],
  [{ durability: 'none' }, /unknown durability "none"; known are full, normal/],
  [{ path: '' }, /path must be the name of a file/],
  [{ path: 5 }, /path must be the name of a file/],
  [{ busyTimeoutMs: -1 }, /busyTimeoutMs must be a whole number/],
  [{ busyTimeoutMs: 0.5 }, /busyTimeoutMs must be a whole number/],
  [{ busyTimeoutMs: 2 ** 31 }, /busyTimeoutMs must be a whole number/],
  [{ busyTimeoutMs: '5' }, /busyTimeoutMs must be a whole number/],
  [{ busyTimeoutMs: Number.NaN }, /busyTimeoutMs must be a whole number/],
  [{ backend: 'postgres', path: 'x.db' }, /path is no knob of backend "postgres"/],
  [{ deadlineMs: 5 }, /deadlineMs is no knob of backend "sqlite"/],
  [{ backend: 'postgres', deadlineMs: 0 }, /deadlineMs must be a whole number from 1/],
  [{ backend: 'postgres', tls: 'prefer' }, /unknown tls "prefer"; known are verify-full, disable/],
  [{ backend: 'postgres', pooler: 'session' }, /unknown pooler "session"/],
  [{ backend: 'postgres', reconnect: 'yes' }, /reconnect must be true or false, got "yes"/],
  [{ backend: 'postgres', urlVariable: '' }, /urlVariable must be the name of an environment/],
  [{ backend: 'postgres', url: 'postgres://x' }, /unknown key "url"/],
]
for (const [config, message] of REFUSED) {
  test(`refused: ${JSON.stringify(config)}`, () => {
    assert.throws(
      () => StorePolicy.from(config),
      (error) => error instanceof PolicyError && message.test(error.message),
    )
  })
}

test('a key of that name from the prototype chain of JSON is unknown as any other', () => {
  assert.throws(() => StorePolicy.from(JSON.parse('{"__proto__": {"backend": "x"}}')), PolicyError)
})
