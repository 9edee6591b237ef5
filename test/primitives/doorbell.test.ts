/**
 * The bell: every subscriber, in order, once, whatever another one does; and tied to a
 * backend, only ever for what is durable.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { type CommitEvent, Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { temporaryFile, uncaughtFrom, unlessOn } from '../support.ts'

const event = (seq: bigint): CommitEvent => ({
  stream: 's',
  writer: 'w',
  seq,
  contentHash: new Uint8Array(32).fill(Number(seq)),
})

function opened(): SqliteBackend {
  const db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  return db
}

/** A bell tied to `db`, and the seqs it rang for. */
function tied(db: SqliteBackend): bigint[] {
  const rung: bigint[] = []
  const bell = new Doorbell()
  bell.tie(db)
  bell.subscribe(({ seq }) => rung.push(seq))
  return rung
}

test('subscribers are called in the order of subscription', () => {
  const bell = new Doorbell()
  const calls: string[] = []
  bell.subscribe(() => calls.push('a'))
  bell.subscribe(() => calls.push('b'))
  bell.ring(event(1n))
  assert.deepEqual(calls, ['a', 'b'])
})

test('the same function subscribed twice is called twice, and leaves one at a time', () => {
  const bell = new Doorbell()
  let calls = 0
  const subscriber = () => void calls++
  const off = bell.subscribe(subscriber)
  bell.subscribe(subscriber)
  bell.ring(event(1n))
  assert.equal(calls, 2)
  off()
  off()
  bell.ring(event(2n))
  assert.equal(calls, 3)
})

test('an entry rings as its pointer, without the payload', () => {
  using db = opened()
  const bell = new Doorbell()
  const events: CommitEvent[] = []
  bell.subscribe((e) => events.push(e))
  const entry = WriterLog.append(db, 's', 'w', 'hello')
  bell.ring(entry)
  const { stream, writer, seq, contentHash } = entry
  assert.deepEqual(events, [{ stream, writer, seq, contentHash }])
})

test("what the ringer does to its hash afterwards is nobody else's concern", () => {
  const bell = new Doorbell()
  const events: CommitEvent[] = []
  bell.subscribe((e) => events.push(e))
  const rung = event(7n)
  bell.ring(rung)
  rung.contentHash.fill(0xff)
  assert.equal(events[0]?.contentHash[0], 7)
})

test('a bell without subscribers rings in silence', () => {
  assert.doesNotThrow(() => new Doorbell().ring(event(1n)))
})

test('one that throws stops neither the others nor the ringer; its error goes to onError', () => {
  const failures: [unknown, bigint][] = []
  const bell = new Doorbell({ onError: (error, e) => failures.push([error, e.seq]) })
  const calls: bigint[] = []
  const boom = new Error('boom')
  bell.subscribe(() => {
    throw boom
  })
  bell.subscribe(({ seq }) => calls.push(seq))
  bell.ring(event(1n))
  bell.ring(event(2n))
  assert.deepEqual(calls, [1n, 2n])
  assert.deepEqual(failures, [
    [boom, 1n],
    [boom, 2n],
  ])
})

test('without onError the error is an uncaught exception, after the ring', {
  skip: unlessOn('bun', 'its test runner ends a test on an uncaught exception by itself'),
}, async () => {
  const boom = new Error('boom')
  const bell = new Doorbell()
  const calls: string[] = []
  bell.subscribe(() => {
    throw boom
  })
  bell.subscribe(() => calls.push('other'))
  const caught = await uncaughtFrom(() => {
    bell.ring(event(1n))
    calls.push('rung')
  })
  assert.deepEqual(calls, ['other', 'rung'])
  assert.deepEqual(caught, [boom])
})

test('an onError that throws itself is not swallowed either', {
  skip: unlessOn('bun', 'its test runner ends a test on an uncaught exception by itself'),
}, async () => {
  const worse = new Error('worse')
  const bell = new Doorbell({
    onError: () => {
      throw worse
    },
  })
  let reached = false
  bell.subscribe(() => {
    throw new Error('boom')
  })
  bell.subscribe(() => {
    reached = true
  })
  assert.deepEqual(await uncaughtFrom(() => bell.ring(event(1n))), [worse])
  assert.equal(reached, true)
})

test('unsubscribing during a ring takes effect in that ring', () => {
  const bell = new Doorbell()
  const calls: string[] = []
  bell.subscribe(() => {
    calls.push('a')
    offB()
  })
  const offB = bell.subscribe(() => calls.push('b'))
  bell.subscribe(() => calls.push('c'))
  bell.ring(event(1n))
  assert.deepEqual(calls, ['a', 'c'])
})

test('a subscriber may unsubscribe itself without the next one being skipped', () => {
  const bell = new Doorbell()
  const calls: string[] = []
  const off = bell.subscribe(() => {
    calls.push('once')
    off()
  })
  bell.subscribe(() => calls.push('always'))
  bell.ring(event(1n))
  bell.ring(event(2n))
  assert.deepEqual(calls, ['once', 'always', 'always'])
})

test('subscribing during a ring takes effect with the next one', () => {
  const bell = new Doorbell()
  const late: bigint[] = []
  let subscribed = false
  bell.subscribe(() => {
    if (!subscribed) bell.subscribe(({ seq }) => late.push(seq))
    subscribed = true
  })
  bell.ring(event(1n))
  bell.ring(event(2n))
  assert.deepEqual(late, [2n])
})

test('a ring inside a ring is delivered after it, so that all see one order', () => {
  const bell = new Doorbell()
  const seen: string[] = []
  bell.subscribe(({ seq }) => {
    seen.push(`a${seq}`)
    if (seq === 1n) bell.ring(event(2n))
  })
  bell.subscribe(({ seq }) => seen.push(`b${seq}`))
  bell.ring(event(1n))
  assert.deepEqual(seen, ['a1', 'b1', 'a2', 'b2'])
})

test('a bell that had a failing subscriber rings on', () => {
  const bell = new Doorbell({ onError: () => {} })
  const seen: bigint[] = []
  const off = bell.subscribe(() => {
    throw new Error('boom')
  })
  bell.ring(event(1n))
  off()
  bell.subscribe(({ seq }) => seen.push(seq))
  bell.ring(event(2n))
  assert.deepEqual(seen, [2n])
})

test('what is no event or subscriber is refused, and named', () => {
  const bell = new Doorbell()
  assert.throws(() => bell.subscribe(5 as never), /subscriber must be a function, got number/)
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ stream: 5 }, /event\.stream must be a string/],
    [{ writer: undefined }, /event\.writer must be a string/],
    [{ seq: 1 }, /event\.seq must be a bigint/],
    [{ seq: 0n }, /event\.seq must be from 1/],
    [{ contentHash: new Uint8Array(31) }, /event\.contentHash must have 32 bytes/],
  ]
  for (const [fields, message] of wrong) {
    assert.throws(() => bell.ring({ ...event(1n), ...fields }), message)
  }
})

test('tied: every append rings once, appendMany once for each entry', () => {
  using db = opened()
  const rung = tied(db)
  WriterLog.append(db, 's', 'w', 'one')
  WriterLog.append(db, 's', 'w', 'two')
  WriterLog.appendMany(db, 's', 'w', ['three', 'four'])
  assert.deepEqual(rung, [1n, 2n, 3n, 4n])
})

test('tied: it rings after the outermost commit, when the entry can be read', () => {
  using db = opened()
  const seen: boolean[] = []
  const bell = new Doorbell()
  bell.tie(db)
  bell.subscribe(({ stream, writer, seq }) => {
    seen.push(db.inTransaction, WriterLog.entry(db, stream, writer, seq) !== null)
  })
  db.transaction(() => {
    db.transaction(() => WriterLog.append(db, 's', 'w', 'inner'))
    assert.deepEqual(seen, [])
  })
  assert.deepEqual(seen, [false, true])
})

test('tied: a rollback is silent, and so is the part that a savepoint took back', () => {
  using db = opened()
  const rung = tied(db)
  assert.throws(
    () =>
      db.transaction(() => {
        WriterLog.append(db, 's', 'w', 'lost')
        throw new Error('no')
      }),
    /no/,
  )
  assert.deepEqual(rung, [])
  db.transaction(() => {
    WriterLog.append(db, 's', 'w', 'kept')
    assert.throws(
      () =>
        db.transaction(() => {
          WriterLog.append(db, 's', 'w', 'lost')
          throw new Error('no')
        }),
      /no/,
    )
  })
  assert.deepEqual(rung, [1n])
})

test('tied: a failing subscriber does not make a durable append look failed', {
  skip: unlessOn('bun', 'its test runner ends a test on an uncaught exception by itself'),
}, async () => {
  using db = opened()
  const boom = new Error('boom')
  const bell = new Doorbell()
  bell.tie(db)
  bell.subscribe(() => {
    throw boom
  })
  const caught = await uncaughtFrom(() => {
    assert.equal(WriterLog.append(db, 's', 'w', 'kept').seq, 1n)
  })
  assert.deepEqual(caught, [boom])
  assert.equal(WriterLog.head(db, 's', 'w')?.seq, 1n)
})

test('tied: a subscriber may append; its entry rings too, after the current one', () => {
  using db = opened()
  const bell = new Doorbell()
  const seen: string[] = []
  bell.tie(db)
  bell.subscribe(({ writer }) => {
    if (writer === 'asker') WriterLog.append(db, 's', 'answerer', 'pong')
  })
  bell.subscribe(({ writer }) => seen.push(writer))
  WriterLog.append(db, 's', 'asker', 'ping')
  assert.deepEqual(seen, ['asker', 'answerer'])
})

test('tied: twice is once, untied is never, and another backend is another matter', () => {
  using db = opened()
  using other = opened()
  const bell = new Doorbell()
  const seen: bigint[] = []
  bell.subscribe(({ seq }) => seen.push(seq))
  const off = bell.tie(db)
  bell.tie(db)
  WriterLog.append(other, 's', 'w', 'elsewhere')
  assert.deepEqual(seen, [])
  WriterLog.append(db, 's', 'w', 'here')
  assert.deepEqual(seen, [1n])
  off()
  off()
  WriterLog.append(db, 's', 'w', 'untied')
  assert.deepEqual(seen, [1n])
})

test('tied: inside a transaction of the raw connection nothing is announced', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const rung = tied(db)
  db.connection.exec('BEGIN')
  WriterLog.append(db, 's', 'w', 'one')
  db.transaction(() => WriterLog.append(db, 's', 'w', 'two'))
  db.connection.exec('COMMIT')
  assert.deepEqual(rung, [])
  assert.equal(WriterLog.head(db, 's', 'w')?.seq, 2n)
})

test('the bells of one commit ring in the order of seq, whatever a subscriber appends', () => {
  for (const inTransaction of [false, true]) {
    using db = SqliteBackend.inMemory()
    WriterLog.ensureSchema(db)
    const bell = new Doorbell()
    bell.tie(db)
    const rung: bigint[] = []
    bell.subscribe(({ seq }) => {
      rung.push(seq)
      if (seq === 1n) WriterLog.append(db, 's', 'w', 'an answer')
      if (seq === 2n) db.transaction(() => WriterLog.appendMany(db, 's', 'w', ['a', 'b']))
    })
    const work = () => {
      WriterLog.appendMany(db, 's', 'w', ['1', '2'])
      WriterLog.append(db, 's', 'w', '3')
    }
    if (inTransaction) db.transaction(work)
    else work()
    assert.deepEqual(
      rung,
      rung.map((_, i) => BigInt(i + 1)),
      String(inTransaction),
    )
    assert.equal(rung.length, 6)
  }
})

test('a subscriber that closes the store does not make a durable append look failed', (t) => {
  const file = temporaryFile(t)
  for (const [i, write] of [
    (db: SqliteBackend) => WriterLog.appendMany(db, 's', 'w', ['1', '2', '3']),
    (db: SqliteBackend) =>
      db.transaction(() => WriterLog.appendMany(db, 's', 'w', ['4', '5', '6'])),
    (db: SqliteBackend) => [WriterLog.append(db, 's', 'w', '7')],
  ].entries()) {
    const db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    const bells = [new Doorbell(), new Doorbell()]
    let heard = 0
    for (const bell of bells) {
      bell.tie(db)
      bell.subscribe(() => {
        heard++
        db.close()
      })
    }
    const entries = write(db)
    assert.equal(heard, 2 * entries.length)
    assert.equal(entries.at(-1)?.seq, [3n, 6n, 7n][i])
  }
})

test('a commit of very many entries rings for each of them, in a moment', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  const bell = new Doorbell()
  bell.tie(db)
  let heard = 0
  bell.subscribe(() => heard++)
  db.transaction(() => {
    for (let i = 0; i < 20; i++) {
      WriterLog.appendMany(
        db,
        's',
        `w${i}`,
        Array.from({ length: 10_000 }, () => 'x'),
      )
    }
  })
  assert.equal(heard, 200_000)
})
