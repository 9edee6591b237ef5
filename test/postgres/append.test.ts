/**
 * Appending over a network that loses answers: whoever appends again until it is acknowledged
 * finds every entry stored exactly once, and in order.
 */
import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import {
  BackendError,
  ChainBrokenError,
  ConnectionError,
  DeadlineError,
  Generation,
  InDoubtError,
  LogRegressedError,
  WriterLog,
} from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { numbers, utf8 } from '../support.ts'
import { emptyPlace } from './database.ts'
import { errorOf } from './meanwhile.ts'
import { type Proxy as NetworkProxy, type Plan, startProxy } from './proxy.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const skip = withoutServer()
const LOSSY_APPENDS = Number(process.env.LOSSY_APPENDS ?? 300)

let server: Server | undefined
let proxy: NetworkProxy | undefined
after(() => {
  proxy?.[Symbol.dispose]()
  server?.[Symbol.dispose]()
})

interface Place {
  readonly proxy: NetworkProxy
  /** By way of the proxy. */
  readonly db: PgBackend
  /** Straight to the server. */
  readonly witness: PgBackend
}

function place(t: TestContext, options: PgOptions = {}): Place {
  server ??= startServer({ fsync: false })
  proxy ??= startProxy(server.port)
  const way = proxy
  way.set({ fault: { kind: 'pass' } })
  const { searchPath } = emptyPlace(t, server.url())
  const witness = PgBackend.connect({ url: server.url(), searchPath })
  const db = PgBackend.connect({
    url: way.url(server.url()),
    searchPath,
    reconnect: true,
    deadlineMs: 5000,
    ...options,
  })
  t.after(() => {
    way.set({ fault: { kind: 'pass' } })
    db.close()
    witness.close()
  })
  return { proxy: way, db, witness }
}

const PASS: Plan = { fault: { kind: 'pass' } }
/** Both end an append with no answer; only the server knows which it was. */
const LOSSES = [
  { what: 'stored', fault: { kind: 'swallow' } },
  { what: 'not stored', fault: { kind: 'lose' } },
] as const

function texts(db: PgBackend): string[] {
  WriterLog.verify(db, 's', 'w')
  return WriterLog.entries(db, 's', 'w').map(({ payload }) => new TextDecoder().decode(payload))
}

/** Append until it is acknowledged. @returns how often it was in vain. */
function persist(append: () => unknown): number {
  for (let failures = 0; ; failures++) {
    try {
      append()
      return failures
    } catch (error) {
      const isLoss =
        error instanceof ConnectionError ||
        error instanceof InDoubtError ||
        error instanceof DeadlineError
      if (!isLoss || failures === 100) throw error
    }
  }
}

for (const { what, fault } of LOSSES) {
  for (const { shape, before, payloads } of [
    { shape: 'an entry', before: ['first'], payloads: ['mark'] },
    { shape: 'several entries', before: ['first'], payloads: ['mark', 'b', 'c'] },
    { shape: 'the very first entry', before: [], payloads: ['mark'] },
  ]) {
    const append = (db: PgBackend) =>
      payloads.length === 1
        ? [WriterLog.append(db, 's', 'w', payloads[0] ?? '')]
        : WriterLog.appendMany(db, 's', 'w', payloads)
    const begin = ({ proxy, db }: Place) => {
      WriterLog.ensureSchema(db)
      for (const payload of before) WriterLog.append(db, 's', 'w', payload)
      for (const stream of ['other', 'other']) {
        if (payloads.length === 1) WriterLog.append(db, stream, 'w', 'x')
        else WriterLog.appendMany(db, stream, 'w', ['x', 'y', 'z'])
      }
      WriterLog.append(db, `warm ${before.length}`, 'w', 'x') // the statement of a first entry
      proxy.set({ fault, containing: 'mark' })
      assert.ok(errorOf(() => append(db)) instanceof InDoubtError)
      proxy.set(PASS)
    }

    test(`${shape} ${what} without an answer is there once after a retry`, { skip }, (t) => {
      const at = place(t)
      begin(at)
      const entries = append(at.db)
      assert.deepEqual(texts(at.witness), [...before, ...payloads])
      assert.equal(entries.at(-1)?.seq, BigInt(before.length + payloads.length))
      assert.deepEqual(
        WriterLog.head(at.witness, 's', 'w')?.contentHash,
        entries.at(-1)?.contentHash,
      )
    })

    test(`${shape} ${what}, found out about, and appended again is another one`, { skip }, (t) => {
      const at = place(t)
      begin(at)
      append(at.db)
      append(at.db)
      append(at.db)
      assert.deepEqual(texts(at.witness), [...before, ...payloads, ...payloads, ...payloads])
    })

    test(`another payload goes behind ${shape} that was ${what}`, { skip }, (t) => {
      const at = place(t)
      begin(at)
      WriterLog.append(at.db, 's', 'w', 'another')
      const there = what === 'stored' ? payloads : []
      assert.deepEqual(texts(at.witness), [...before, ...there, 'another'])
      append(at.db)
      assert.deepEqual(texts(at.witness), [...before, ...there, 'another', ...payloads])
    })
  }
}

test('an append in doubt that others went behind is found where it is', { skip }, (t) => {
  const { proxy, db, witness } = place(t)
  WriterLog.ensureSchema(db)
  for (const payload of ['one', 'two']) WriterLog.append(db, 's', 'w', payload)
  proxy.set({ fault: { kind: 'swallow' }, containing: 'mark' })
  assert.throws(() => WriterLog.append(db, 's', 'w', 'mark'), InDoubtError)
  proxy.set(PASS)
  WriterLog.append(witness, 's', 'w', 'theirs')
  assert.equal(WriterLog.append(db, 's', 'w', 'mark').seq, 3n)
  assert.equal(WriterLog.append(db, 's', 'w', 'mark').seq, 5n)
  assert.deepEqual(texts(witness), ['one', 'two', 'mark', 'theirs', 'mark'])
})

test('an append that had to take the lock is found after its commit was in doubt', {
  skip,
}, (t) => {
  const { proxy, db, witness } = place(t)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  const query = db.query.bind(db)
  let races = 4
  // Somebody else is quicker each time that the head is read, until the lock is held.
  db.query = (sql, params) => {
    const rows = query(sql, params)
    if (sql.includes('pg_advisory')) races = 0
    if (sql.includes('DESC LIMIT 1') && races-- > 0) WriterLog.append(witness, 's', 'w', 'theirs')
    return rows
  }
  WriterLog.append(witness, 's', 'w', 'theirs')
  proxy.set({ fault: { kind: 'swallow' }, containing: 'COMMIT\0' })
  assert.throws(() => WriterLog.append(db, 's', 'w', 'mark'), InDoubtError)
  proxy.set(PASS)
  WriterLog.append(db, 's', 'w', 'mark')
  const theirs = new Array<string>(4).fill('theirs')
  assert.deepEqual(texts(witness), ['one', ...theirs, 'mark'])
})

test(`${LOSSY_APPENDS} appends over a lossy network are all there once, in order`, {
  skip,
}, (t) => {
  const { proxy, db, witness } = place(t, { deadlineMs: 300 })
  WriterLog.ensureSchema(witness)
  const plans: readonly Plan[] = [
    { fault: { kind: 'lose' }, everyNth: 17 },
    { fault: { kind: 'silence', towards: 'client' }, nth: 20 },
    { fault: { kind: 'delay', ms: 400 }, nth: 30 }, // longer than the deadline
    { fault: { kind: 'swallow' }, everyNth: 9 },
    { fault: { kind: 'cut', afterBytes: 3 }, everyNth: 11 },
    { fault: { kind: 'cut', afterBytes: 9, reset: true }, everyNth: 10 },
    { fault: { kind: 'delay', ms: 5 }, everyNth: 2 },
    { fault: { kind: 'swallow' }, everyNth: 13 },
    PASS,
  ]
  const next = numbers(17)
  const expected: string[] = []
  let failures = 0
  for (let n = 0; n < LOSSY_APPENDS; n++) {
    if (n % 40 === 0) proxy.set(plans[(n / 40) % plans.length] ?? PASS)
    // Many are alike, as heartbeats are.
    const payloads = Array.from({ length: n % 10 === 9 ? 3 : 1 }, () => `beat ${next(2)}`)
    expected.push(...payloads)
    failures += persist(() =>
      payloads.length === 1
        ? WriterLog.append(db, 's', 'w', payloads[0] ?? '')
        : WriterLog.appendMany(db, 's', 'w', payloads),
    )
  }
  proxy.set(PASS)
  assert.ok(failures > LOSSY_APPENDS / 20, `${failures} failures`)
  assert.deepEqual(texts(witness), expected)
})

test('an answer that never comes is a doubt by the deadline, and a retry ends it', {
  skip,
}, (t) => {
  const { proxy, db, witness } = place(t, { deadlineMs: 1000 })
  WriterLog.ensureSchema(witness)
  for (const payload of ['one', 'two']) WriterLog.append(witness, 's', 'w', payload)
  proxy.set({ fault: { kind: 'silence', towards: 'client' }, containing: 'mark' })
  const error = errorOf(() => WriterLog.append(db, 's', 'w', 'mark'))
  assert.ok(error instanceof InDoubtError && error.cause instanceof DeadlineError, String(error))
  proxy.set(PASS)
  assert.equal(WriterLog.append(db, 's', 'w', 'mark').seq, 3n)
  assert.deepEqual(texts(witness), ['one', 'two', 'mark'])
})

test('a server that has less than it acknowledged is refused, and left as it is', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  for (const payload of ['one', 'two', 'three']) WriterLog.append(db, 's', 'w', payload)
  witness.exec('DELETE FROM _agent_store_log WHERE seq > 1')
  for (const append of [
    () => WriterLog.append(db, 's', 'w', 'four'),
    () => WriterLog.appendMany(db, 's', 'w', ['four', 'five']),
  ]) {
    const error = errorOf(append)
    assert.ok(error instanceof LogRegressedError, String(error))
    assert.equal(error.acknowledged.seq, 3n)
  }
  assert.deepEqual(texts(witness), ['one'])
  // What was read anew is known to be older: that is another backend's.
  assert.equal(WriterLog.append(witness, 's', 'w', 'mine').seq, 2n)
  assert.throws(() => WriterLog.append(db, 's', 'w', 'four'), LogRegressedError)
})

test('a log that was emptied behind our back is refused', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  witness.exec('DELETE FROM _agent_store_log')
  assert.throws(() => WriterLog.append(db, 's', 'w', 'two'), LogRegressedError)
  assert.deepEqual(texts(witness), [])
})

test('nothing goes into a hole of a log, whose end is elsewhere', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  // To this backend, the first entry is still the last one.
  WriterLog.appendMany(witness, 's', 'w', ['two', 'three', 'four'])
  witness.exec('DELETE FROM _agent_store_log WHERE seq IN (2, 3)')
  assert.equal(WriterLog.append(db, 's', 'w', 'five').seq, 5n)
  WriterLog.append(witness, 's', 'w', 'six')
  const many = WriterLog.appendMany(db, 's', 'w', ['seven', 'eight'])
  assert.deepEqual(
    many.map(({ seq }) => seq),
    [7n, 8n],
  )
  // The hole stays, for whoever verifies to see.
  assert.deepEqual(witness.query('SELECT seq FROM _agent_store_log ORDER BY seq').flat(), [
    1n,
    4n,
    5n,
    6n,
    7n,
    8n,
  ])
  assert.throws(() => WriterLog.verify(db, 's', 'w'), ChainBrokenError)
})

test('entries go behind the one that was seen, not behind another in its place', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  for (const payload of ['one', 'two']) WriterLog.append(db, 's', 'w', payload)
  witness.exec('DELETE FROM _agent_store_log WHERE seq = 2')
  WriterLog.append(witness, 's', 'w', 'theirs')
  for (const append of [
    () => WriterLog.append(db, 's', 'w', 'three'),
    () => WriterLog.appendMany(db, 's', 'w', ['three', 'four']),
  ]) {
    assert.throws(append, LogRegressedError)
  }
  assert.deepEqual(texts(witness), ['one', 'theirs'])
})

test('entries that were rolled back are not missed', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  const failure = new Error('changed my mind')
  const abandon = (work: () => void) =>
    assert.throws(
      () =>
        db.transaction(() => {
          work()
          throw failure
        }),
      failure,
    )
  abandon(() => WriterLog.append(db, 's', 'w', 'never'))
  WriterLog.append(db, 's', 'w', 'one')
  abandon(() => {
    WriterLog.append(db, 's', 'w', 'never')
    WriterLog.appendMany(db, 's', 'w', ['never', 'never'])
  })
  WriterLog.append(db, 's', 'w', 'two')
  db.transaction(() => {
    abandon(() => WriterLog.append(db, 's', 'w', 'never'))
    WriterLog.append(db, 's', 'w', 'three')
  })
  WriterLog.append(db, 's', 'w', 'four')
  assert.deepEqual(texts(witness), ['one', 'two', 'three', 'four'])
})

test('a commit of many things in doubt says so, and stores all or nothing', { skip }, (t) => {
  const { proxy, db, witness } = place(t)
  WriterLog.ensureSchema(db)
  Generation.ensureSchema(db)
  const turn = new Generation('turn')
  const work = () =>
    db.transaction(() => {
      turn.bump(db)
      WriterLog.append(db, 's', 'w', 'entry')
    })
  work()
  proxy.set({ fault: { kind: 'swallow' }, containing: 'COMMIT\0' })
  assert.throws(work, InDoubtError)
  proxy.set({ fault: { kind: 'lose' }, containing: 'COMMIT\0' })
  assert.throws(work, InDoubtError)
  proxy.set(PASS)
  assert.equal(turn.current(witness), 2n)
  assert.deepEqual(texts(witness), ['entry', 'entry'])
})

test('a trigger that lets no entry in is an error, not a wait without an end', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  WriterLog.append(db, 's', 'w', 'one')
  witness.exec(
    "CREATE FUNCTION ignored() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
  )
  witness.exec(
    'CREATE TRIGGER t BEFORE INSERT ON _agent_store_log FOR EACH ROW EXECUTE FUNCTION ignored()',
  )
  for (const append of [
    () => WriterLog.append(db, 's', 'w', 'two'),
    () => WriterLog.appendMany(db, 's', 'w', ['two', 'three']),
    () => WriterLog.append(db, 'another', 'w', 'one'),
  ]) {
    const error = errorOf(append)
    assert.ok(error instanceof BackendError, String(error))
    assert.match(error.message, /trigger/)
  }
  assert.deepEqual(texts(witness), ['one'])
})

test('sessions that are serializable by default append together', { skip }, (t) => {
  const { db, witness } = place(t)
  WriterLog.ensureSchema(db)
  for (const each of [db, witness]) {
    each.exec("SET default_transaction_isolation = 'serializable'")
  }
  for (let n = 0; n < 5; n++) {
    WriterLog.append(db, 's', 'w', utf8(`mine ${n}`))
    WriterLog.append(witness, 's', 'w', utf8(`theirs ${n}`))
  }
  const isolation = "SELECT current_setting('transaction_isolation')"
  assert.deepEqual(
    db.transaction(() => db.query(isolation)),
    [['read committed']],
  )
  assert.equal(texts(witness).length, 10)
})
