/**
 * Following gives what is there and then what comes: every entry once, each log in its order,
 * on every kind of store, with bells and without.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Backend,
  ChainBrokenError,
  type CommitEvent,
  ConnectionError,
  commitEventFromJson,
  commitEventToJson,
  Doorbell,
  type Entry,
  FileReplacedError,
  SqliteBackend,
  WriterLog,
} from 'agent-store'
import {
  CursorError,
  type Following,
  type FollowOptions,
  ForkError,
  follow,
  headsOf,
} from 'agent-store/follow'
import { PgBackend } from 'agent-store/postgres'
import { insertRaw, noise, systemWatches, temporaryFile, utf8, withoutCount } from '../support.ts'
import { PLACES } from './places.ts'

const text = ({ payload }: Entry) => Buffer.from(payload).toString()

/** The next `count` entries, as `writer seq payload`; it fails when they take too long. */
async function take(following: Following, count: number): Promise<string[]> {
  const taken: string[] = []
  while (taken.length < count) {
    const next = await Promise.race([following.next(), sleep(5_000, 'late' as const)])
    assert.ok(next !== 'late', `only ${JSON.stringify(taken)} came`)
    if (next.done === true) break
    taken.push(`${next.value.writer} ${next.value.seq} ${text(next.value)}`)
  }
  return taken
}

const inOrder = (lines: string[]) => lines.toSorted((a, b) => (a < b ? -1 : 1))
const errorOf = (error: unknown) => error

/** A following that ends with the test. */
function start(t: TestContext, db: Backend, options: FollowOptions = {}): Following {
  const following = follow(db, { pollMs: 100, ...options })
  t.after(() => following.return())
  return following
}

for (const place of PLACES) {
  suite(place.name, { skip: place.skip }, () => {
    test('first what is there, then what this and another connection append', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      WriterLog.appendMany(db, 's', 'a', ['one', 'two'])
      const following = start(t, db, { stream: 's' })
      assert.deepEqual(await take(following, 2), ['a 1 one', 'a 2 two'])
      const waiting = take(following, 3)
      await sleep(20)
      WriterLog.append(other, 's', 'b', 'from elsewhere')
      WriterLog.append(db, 's', 'a', 'three')
      WriterLog.append(other, 's', 'b', 'more')
      assert.deepEqual(inOrder(await waiting), ['a 3 three', 'b 1 from elsewhere', 'b 2 more'])
    })

    test('each entry once and in the order of its log, while four connections write', async (t) => {
      const { open } = place.create(t)
      const writers = ['a', 'b', 'c', 'd'].map((name) => ({ name, db: open() }))
      const following = start(t, open())
      const seen = new Map<string, bigint>()
      const write = (async () => {
        for (let i = 0; i < 100; i++) {
          for (const { name, db } of writers) WriterLog.append(db, `s${i % 3}`, name, `${i}`)
          await sleep(1)
        }
      })()
      for (let i = 0; i < 400; i++) {
        const { value } = await following.next()
        assert.ok(value !== undefined)
        const log = `${value.stream} ${value.writer}`
        assert.equal(value.seq, (seen.get(log) ?? 0n) + 1n, log)
        seen.set(log, value.seq)
      }
      await write
      assert.equal(seen.size, 12)
    })

    test('a cursor: heads, or its own, through JSON; other logs from their beginning', async (t) => {
      const { open } = place.create(t)
      const db = open()
      WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
      WriterLog.append(db, 's', 'b', 'one')
      const first = start(t, db, { stream: 's', after: WriterLog.heads(db, 's').slice(1) })
      assert.deepEqual(await take(first, 2), ['a 1 one', 'a 2 two'])
      const json = JSON.stringify(first.cursor().map(commitEventToJson))
      const after = (JSON.parse(json) as unknown[]).map(commitEventFromJson)
      const second = start(t, db, { stream: 's', after, live: false })
      assert.deepEqual(second.cursor(), first.cursor())
      assert.deepEqual(await take(second, 9), ['a 3 three'])
      assert.deepEqual(second.cursor().map(String).length, 2)
      const now = start(t, db, { after: headsOf(db), live: false })
      assert.deepEqual(await take(now, 9), [])
    })

    test('of one stream, of several, of a prefix, of one writer; new ones too', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      const selections = [
        { stream: 'x1' },
        { stream: ['x1', 'y'] },
        { prefix: 'x' },
        { writer: 'b' },
        {},
      ]
      const followings = selections.map((selection) => start(t, db, selection))
      const waiting = followings.map((following) => following.next())
      await sleep(10)
      WriterLog.append(other, 'x1', 'a', '1')
      WriterLog.append(other, 'x2', 'b', '2')
      WriterLog.append(other, 'y', 'a', '3')
      await Promise.all(waiting.slice(0, 3))
      const end = followings.map((following) => following.return())
      await Promise.all(end)
      const all = await Promise.all(
        selections.map((selection) => take(start(t, db, { ...selection, live: false }), 9)),
      )
      assert.deepEqual(
        all.map((taken) => taken.map((line) => line.at(-1)).join('')),
        ['1', '13', '12', '2', '123'],
      )
    })

    test('what is rolled back, or not committed yet, is not given', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      const following = start(t, db)
      const waiting = take(following, 1)
      await sleep(10)
      for (const writing of [db, other]) {
        assert.throws(() =>
          writing.transaction(() => {
            WriterLog.append(writing, 's', 'a', 'undone')
            throw new Error('no')
          }),
        )
      }
      await sleep(10)
      WriterLog.append(other, 's', 'a', 'done')
      assert.deepEqual(await waiting, ['a 1 done'])
    })

    test('many calls at once are answered in order, and a run is of one log', async (t) => {
      const { open } = place.create(t)
      const db = open()
      const following = start(t, db)
      const calls = Array.from({ length: 5 }, () => following.next())
      WriterLog.appendMany(db, 's', 'a', ['1', '2', '3', '4', '5', '6', '7', '8', '9'])
      WriterLog.appendMany(db, 's', 'b', ['1', '2'])
      const seqs = (await Promise.all(calls)).map(({ value }) => value?.seq)
      assert.deepEqual(seqs, [1n, 2n, 3n, 4n, 5n])
      assert.deepEqual((await following.nextRun(3)).map(text), ['6', '7', '8'])
      assert.deepEqual((await following.nextRun(3)).map(text), ['9'])
      assert.deepEqual((await following.nextRun(3)).map(text), ['1', '2'])
    })

    test('a signal ends what waits by throwing its reason; a break ends it quietly', async (t) => {
      const { open } = place.create(t)
      const db = open()
      const stop = new AbortController()
      const waiting = follow(db, { signal: stop.signal }).next()
      await sleep(10)
      stop.abort(new Error('enough'))
      await assert.rejects(waiting, /enough/)
      await assert.rejects(follow(db, { signal: stop.signal }).next(), /enough/)
      WriterLog.append(db, 's', 'a', 'x')
      const following = follow(db)
      for await (const _ of following) break
      assert.deepEqual(await following.next(), { done: true, value: undefined })
    })

    test('a cursor of another store, of the future, of what is gone', async (t) => {
      const { open } = place.create(t)
      const db = open()
      const [first, second] = WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
      assert.ok(first !== undefined && second !== undefined)
      const future = { ...second, seq: 9n }
      await assert.rejects(follow(db, { after: [future] }).next(), {
        code: 'STORE_CURSOR',
        stored: null,
        message: /seq 9, where this store has nothing/,
      })
      const foreign = { ...second, contentHash: new Uint8Array(32) }
      await assert.rejects(follow(db, { after: [foreign] }).next(), /has another entry/)
      // What is not followed is not looked at.
      assert.deepEqual(
        await take(start(t, db, { after: [foreign], stream: 't', live: false }), 1),
        [],
      )

      const after = WriterLog.heads(db, 's')
      db.exec('DELETE FROM _agent_store_log WHERE seq = 3')
      await assert.rejects(follow(db, { after }).next(), { code: 'STORE_CURSOR', stored: null })
    })

    for (const [what, sql] of [
      ['its end', "DELETE FROM _agent_store_log WHERE stream = 's' AND seq = 3"],
      ['everything', "DELETE FROM _agent_store_log WHERE stream = 's'"],
    ] as const) {
      test(`a log that loses ${what} while it is followed`, async (t) => {
        const { open } = place.create(t)
        const [db, other] = [open(), open()]
        WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
        const following = start(t, db, { pollMs: 50 })
        assert.equal((await take(following, 3)).length, 3)
        const waiting = following.next().then(({ value }) => value?.stream, errorOf)
        other.exec(sql)
        WriterLog.append(other, 't', 'a', 'another log')
        let given = await waiting
        if (given === 't') {
          // It was told of the other log alone. It finds out once this one grows again.
          WriterLog.appendMany(other, 's', 'a', ['another', 'and', 'another', 'one'])
          given = await following.next().then(() => 'an entry', errorOf)
        }
        assert.ok(given instanceof CursorError || given instanceof ChainBrokenError, String(given))
      })
    }

    test('a gap is always seen; an edit with verify', async (t) => {
      const { open } = place.create(t)
      const db = open()
      WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
      db.exec('UPDATE _agent_store_log SET payload = ? WHERE seq = 2', [utf8('2!')])
      assert.equal((await take(start(t, db, { live: false }), 3)).length, 3)
      const verified = start(t, db, { verify: true })
      assert.deepEqual(await take(verified, 1), ['a 1 one'])
      await assert.rejects(verified.next(), (error) => {
        return error instanceof ChainBrokenError && error.seq === 2n
      })
      db.exec('DELETE FROM _agent_store_log WHERE seq = 2')
      await assert.rejects(take(start(t, db), 3), { code: 'STORE_CHAIN_BROKEN', seq: 2n })
    })

    test('an announced entry that is another one here: a fork, held back until both agree', async (t) => {
      const { open } = place.create(t)
      const [db, other] = [open(), open()]
      const bell = new Doorbell()
      const [one, two, three] = WriterLog.appendMany(db, 's', 'a', ['one', 'two', 'three'])
      assert.ok(one !== undefined && two !== undefined && three !== undefined)
      const forks: ForkError[] = []
      const onFork = (fork: ForkError) => forks.push(fork)
      const following = start(t, db, { bells: [bell], after: [one], onFork })
      const waiting = take(following, 1)
      await sleep(10)
      assert.deepEqual(await waiting, ['a 2 two'])
      // Behind the cursor nothing is compared; what is not there yet is compared when it is.
      bell.ring({ ...one, contentHash: new Uint8Array(32) })
      bell.ring({ ...three, seq: 5n })
      const rest = take(following, 2)
      WriterLog.append(other, 's', 'a', 'four')
      assert.deepEqual(await rest, ['a 3 three', 'a 4 four'])
      const next = take(following, 1)
      const five = WriterLog.append(other, 's', 'a', 'five')
      WriterLog.append(other, 't', 'b', 'of another log')
      assert.deepEqual(await next, ['b 1 of another log'])
      while (forks.length === 0) await sleep(5)
      const [fork] = forks
      assert.equal(fork?.code, 'STORE_FORK')
      assert.deepEqual([fork.stream, fork.writer, fork.announced.seq], ['s', 'a', 5n])
      assert.deepEqual(fork.stored.contentHash, five.contentHash)
      // The announced history goes on, and the one here is put right.
      const restored = take(following, 1)
      other.exec('UPDATE _agent_store_log SET content_hash = ? WHERE seq = 5', [three.contentHash])
      WriterLog.append(other, 't', 'c', 'rings')
      const given = await restored
      assert.ok(given[0] === 'a 5 five' || given[0] === 'c 1 rings', given[0])
      assert.equal(forks.length, 1)

      const strict = start(t, db, { bells: [bell], stream: 'u' })
      const rejected = assert.rejects(strict.next(), (error) => error instanceof ForkError)
      await sleep(20)
      bell.ring({ ...one, stream: 'u' })
      WriterLog.append(other, 'u', 'a', 'not that one')
      await rejected
    })

    test('a bell that lies: of logs that are not there, of what lies ahead or behind', async (t) => {
      const { open } = place.create(t)
      const db = open()
      const bell = new Doorbell()
      WriterLog.append(db, 's', 'a', 'one')
      const following = start(t, db, { bells: [bell] })
      assert.deepEqual(await take(following, 1), ['a 1 one'])
      const waiting = take(following, 1)
      const ring = (stream: string, seq: bigint): CommitEvent => ({
        stream,
        writer: 'a',
        seq,
        contentHash: new Uint8Array(32),
      })
      for (const seq of [1n, 2n, 2n ** 63n - 1n]) {
        bell.ring(ring('s', seq))
        bell.ring(ring('nowhere', seq))
        await sleep(5)
      }
      WriterLog.append(open(), 's', 'a', 'two')
      assert.deepEqual(await waiting, ['a 2 two'])
    })
  })
}

suite('commits that become visible in another order', { skip: PLACES[1]?.skip ?? false }, () => {
  for (const place of PLACES.slice(1)) {
    test(`${place.name}: what was begun first and committed last is not skipped`, async (t) => {
      const { open } = place.create(t)
      const [db, slow, quick] = [open(), open(), open()]
      const following = start(t, db, { pollMs: 20 })
      const taken = take(following, 3)
      await sleep(10)
      slow.transaction(() => {
        WriterLog.append(slow, 's', 'slow', 'begun first')
        WriterLog.append(quick, 's', 'quick', 'committed first')
        WriterLog.append(quick, 's', 'quick', 'and more')
      })
      assert.deepEqual(inOrder(await taken), [
        'quick 1 committed first',
        'quick 2 and more',
        'slow 1 begun first',
      ])
    })
  }

  test('a lost connection: without a word it ends, with onInterrupted it goes on', async (t) => {
    const place = PLACES[1]
    assert.ok(place !== undefined)
    const { store, open } = place.create(t)
    assert.ok('postgres' in store)
    const admin = open()
    const reconnecting = PgBackend.connect({ ...store.postgres, reconnect: true })
    t.after(() => reconnecting.close())
    const dead = open()
    const pids = [reconnecting, dead].map((db) => db.query('SELECT pg_backend_pid()')[0]?.[0])
    const reasons: string[] = []
    const going = start(t, reconnecting, {
      pollMs: 50,
      onInterrupted: ({ code }) => reasons.push(code),
    })
    const ending = start(t, dead, { pollMs: 50 })
    const [goes, ends] = [take(going, 1), ending.next()]
    const ended = assert.rejects(ends, (error) => error instanceof ConnectionError)
    await sleep(20)
    for (const pid of pids) admin.query('SELECT pg_terminate_backend(?::int)', [pid ?? null])
    await ended
    WriterLog.append(admin, 's', 'a', 'after the loss')
    assert.deepEqual(await goes, ['a 1 after the loss'])
  })
})

suite('one file', () => {
  test('with every bell cut, all arrives within the polling interval', async (t) => {
    const file = temporaryFile(t)
    using other = SqliteBackend.open(file)
    WriterLog.ensureSchema(other)
    const connection = new DatabaseSync(file, { timeout: 1_000 })
    t.after(() => connection.close())
    const following = start(t, SqliteBackend.fromConnection(connection), { pollMs: 100 })
    const times: number[] = []
    for (let i = 1; i <= 10; i++) {
      const waiting = following.next()
      await sleep(5)
      WriterLog.append(other, 's', 'a', 'x')
      const start = performance.now()
      assert.equal((await waiting).value?.seq, BigInt(i))
      times.push(performance.now() - start)
    }
    assert.ok(Math.max(...times) < 400, `took ${times.map(Math.round)} ms`)
  })

  test('what a transaction on the raw connection holds is given once that is over', async (t) => {
    const file = temporaryFile(t)
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    WriterLog.append(db, 's', 'a', 'one')
    for (const end of ['ROLLBACK', 'COMMIT']) {
      const { connection } = db
      connection.exec('BEGIN')
      WriterLog.append(db, 's', 'a', `before the ${end}`)
      const following = start(t, db, { live: false, pollMs: 20 })
      const first = following.next()
      assert.equal(await Promise.race([first, sleep(50, 'nothing')]), 'nothing')
      connection.exec(end)
      assert.equal((await first).value?.seq, 1n)
      const rest = await take(following, 9)
      assert.deepEqual(rest, end === 'COMMIT' ? ['a 2 before the COMMIT'] : [])
    }
  })

  test('1,000 followers cost one watcher, and no timers of their own', {
    skip: withoutCount,
  }, async (t) => {
    const file = temporaryFile(t)
    using other = SqliteBackend.open(file, { durability: 'normal' })
    WriterLog.ensureSchema(other)
    const count = (kind: string) =>
      process.getActiveResourcesInfo().filter((name) => name === kind).length
    const before = [systemWatches(), count('Timeout')] as const
    const [one, two] = [SqliteBackend.open(file), SqliteBackend.open(file)]
    t.after(() => [one, two].map((db) => db.close()))
    const followings = Array.from({ length: 1_000 }, (_, i) => start(t, i % 2 === 0 ? one : two))
    const waiting = followings.map((following) => following.next())
    await sleep(20)
    assert.equal(systemWatches() - before[0], 1)
    // One for the next look of each connection, and one where a commit is expected.
    const timers = count('Timeout') - before[1]
    assert.ok(timers <= 4, `${timers} timers`)
    WriterLog.append(other, 's', 'a', 'x')
    for (const { value } of await Promise.all(waiting)) assert.equal(value?.seq, 1n)
  })

  test('rows that were deleted and others in their place: nothing is skipped', async (t) => {
    const file = temporaryFile(t)
    using other = SqliteBackend.open(file)
    WriterLog.ensureSchema(other)
    WriterLog.append(other, 's', 'a', 'one')
    WriterLog.append(other, 'retired', 'a', 'one')
    using db = SqliteBackend.open(file)
    const following = start(t, db, { stream: 's', pollMs: 50 })
    assert.equal((await take(following, 1)).length, 1)
    const waiting = take(following, 2)
    await sleep(20)
    // The last rowid is given out again.
    other.transaction(() => {
      other.exec("DELETE FROM _agent_store_log WHERE stream = 'retired'")
      WriterLog.append(other, 's', 'b', 'in its place')
    })
    await sleep(60)
    other.exec('VACUUM')
    WriterLog.append(other, 's', 'a', 'two')
    assert.deepEqual(inOrder(await waiting), ['a 2 two', 'b 1 in its place'])
  })

  test('a log of 240 MB goes through in bounded memory', async (t) => {
    using db = SqliteBackend.open(temporaryFile(t), { durability: 'normal' })
    WriterLog.ensureSchema(db)
    const payload = noise(4_096, 7)
    for (let i = 0; i < 6; i++) {
      WriterLog.appendMany(
        db,
        's',
        'a',
        Array.from({ length: 10_000 }, () => payload),
      )
    }
    const held = () => {
      const { arrayBuffers, heapUsed } = process.memoryUsage()
      return (arrayBuffers + heapUsed) / 2 ** 20
    }
    const before = held()
    let most = 0
    let count = 0
    for await (const _ of follow(db, { live: false, verify: true })) {
      if (++count % 1_000 === 0) most = Math.max(most, held() - before)
    }
    assert.equal(count, 60_000)
    assert.ok(most < 110, `${most.toFixed()} MB`)
  })

  test('a file that is replaced is said, not waited on', async (t) => {
    const file = temporaryFile(t)
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    const waiting = follow(db).next()
    await sleep(20)
    fs.copyFileSync(file, `${file}.copy`)
    fs.renameSync(`${file}.copy`, file)
    await assert.rejects(waiting, (error) => error instanceof FileReplacedError)
  })

  test('a malformed row is named by who comes to it', async (t) => {
    const file = temporaryFile(t)
    using db = SqliteBackend.open(file)
    WriterLog.ensureSchema(db)
    const following = follow(db, { pollMs: 50 })
    const waiting = following.next()
    await sleep(10)
    using other = SqliteBackend.open(file)
    insertRaw(other, ['s', 'a', 1n, null, 'no hash', utf8('x')])
    await assert.rejects(waiting, { code: 'STORE_MALFORMED_ROW' })
  })
})

test('options that cannot be are refused', () => {
  using db = SqliteBackend.inMemory()
  assert.throws(() => follow(db, { pollMs: 0 }), /pollMs must be from 1 to 2147483647, got 0/)
  assert.throws(() => follow(db, { stream: 's', prefix: 'p' }), /exclude each other/)
  assert.throws(() => follow(db, { stream: 'a\0b' }), /NUL/)
})
