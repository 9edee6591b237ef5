/** Rows one at a time, in little memory, and what may happen in the midst of them. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { BackendError, ConnectionError, InDoubtError } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { errorOf, pause } from './meanwhile.ts'
import { startProxy } from './proxy.ts'
import { type Server, startServer, withoutServer } from './server.ts'

const ROWS = 200_000
const ROW_BYTES = 500
const MIB = 2 ** 20
/** Why memory cannot be measured here, or `false`. */
const covered =
  process.env.NODE_V8_COVERAGE !== undefined && 'what counts coverage keeps memory of its own'
/** More than one page of rows. */
const SOME = 'SELECT n::bigint FROM generate_series(1, 1200) AS n'

describe('an iteration', { skip: withoutServer() }, () => {
  let server: Server
  let other: PgBackend
  before(() => {
    server = startServer({ fsync: false })
    other = PgBackend.connect(server.url())
    other.exec('CREATE TABLE t (a bigint)')
  })
  after(() => {
    other.close()
    server[Symbol.dispose]()
  })
  const connect = (options: PgOptions = {}) => PgBackend.connect({ url: server.url(), ...options })
  const works = (db: PgBackend) => {
    assert.equal(db.inTransaction, false)
    assert.deepEqual(db.query('SELECT 1::bigint'), [[1n]])
  }

  for (const pooler of ['none', 'transaction'] as const) {
    test(`of ${ROWS} rows takes little memory, with pooler: '${pooler}'`, { skip: covered }, () => {
      using db = connect({ pooler })
      const memory = () => {
        const { arrayBuffers, heapUsed } = process.memoryUsage()
        return (arrayBuffers + heapUsed) / MIB
      }
      const before = memory()
      let [count, most] = [0, 0]
      const sql = `SELECT n::bigint, decode(repeat('ab', ${ROW_BYTES}), 'hex')
        FROM generate_series(1, ${ROWS}) AS n`
      for (const [n, bytes] of db.iterate(sql)) {
        count++
        if (n !== BigInt(count) || !(bytes instanceof Uint8Array)) assert.fail(`row ${count}`)
        if (count % 1000 === 0) most = Math.max(most, memory() - before)
      }
      assert.equal(count, ROWS)
      assert.ok(most < (ROWS * ROW_BYTES) / MIB / 2, `${most} MiB`)
      works(db)
    })
  }

  test('that is left early gives up a read that was begun ahead in the midst of it', () => {
    using db = connect()
    db.transaction(() => {
      for (const _ of db.iterate(SOME)) {
        db.ahead('SELECT 2::bigint', [])
        break
      }
      assert.deepEqual(db.query('SELECT 1::bigint'), [[1n]])
    })
    works(db)
  })

  test('that is left early, or by an error, ends its transaction', () => {
    using db = connect()
    for (const [n] of db.iterate(SOME)) if (n === 700n) break
    works(db)
    const failure = new Error('of the loop')
    const error = errorOf(() => {
      for (const _ of db.iterate(SOME)) throw failure
    })
    assert.equal(error, failure)
    works(db)
    const rows = db.iterate(SOME)
    rows.next()
    rows.return?.()
    works(db)
    assert.deepEqual(rows.next(), { value: undefined, done: true })
  })

  test('that fails in the midst of its rows says so, and the connection lives on', () => {
    using db = connect()
    let count = 0
    const error = errorOf(() => {
      for (const _ of db.iterate('SELECT 1 / (900 - n) FROM generate_series(1, 1200) AS n')) count++
    })
    assert.ok(error instanceof BackendError, String(error))
    assert.equal(error.driverCode, '22012')
    assert.equal(count, 500, 'the page before')
    works(db)
    assert.throws(() => [...db.iterate('SELECT broken')], { driverCode: '42703' })
    works(db)
  })

  test('keeps other statements out, unless it is in a transaction', () => {
    using db = connect()
    const rows = db.iterate(SOME)
    rows.next()
    assert.throws(() => db.query('SELECT 1'), /an iteration is open/)
    assert.throws(() => db.transaction(() => undefined), /an iteration is open/)
    assert.equal([...rows].length, 1199)
    works(db)
    db.transaction(() => {
      const [one, two] = [db.iterate(SOME), db.iterate(SOME)]
      for (const [n] of one) {
        assert.deepEqual(two.next().value, [n])
        if (n === 600n) break
        if (n === 550n) db.exec('INSERT INTO t VALUES (1)')
      }
      assert.equal([...two].length, 600)
    })
    assert.deepEqual(db.query('SELECT a FROM t'), [[1n]])
  })

  test('of a write stores all of it, even if its rows are not all read', () => {
    using db = connect()
    other.exec('DELETE FROM t')
    const insert = 'INSERT INTO t SELECT generate_series(1, 1200) RETURNING a'
    assert.equal([...db.iterate(insert)].length, 1200)
    for (const _ of db.iterate(insert)) break
    assert.deepEqual(other.query('SELECT count(*) FROM t'), [[2400n]])
  })

  test('whose server ends it says why; the next call connects again, where it may', () => {
    for (const reconnect of [false, true]) {
      using db = connect({ reconnect })
      const [[pid = null] = []] = db.query('SELECT pg_backend_pid()')
      let count = 0
      const error = errorOf(() => {
        for (const _ of db.iterate(SOME)) {
          if (++count !== 400) continue
          other.query('SELECT pg_terminate_backend(?::int, 5000)', [pid])
          pause(100)
        }
      })
      assert.ok(error instanceof ConnectionError, String(error))
      assert.equal(error.driverCode, '57P01')
      assert.equal(count, 500, 'what had come')
      if (reconnect) works(db)
      else assert.throws(() => db.query('SELECT 1'), ConnectionError)
    }
  })

  test('that only reads is never in doubt, and one that writes is, when its commit is lost', () => {
    using proxy = startProxy(server.port)
    for (const { sql, type } of [
      { sql: SOME, type: ConnectionError },
      { sql: 'INSERT INTO t VALUES (-2) RETURNING a', type: InDoubtError },
    ]) {
      using db = connect({ url: proxy.url(server.url()) })
      proxy.set({ fault: { kind: 'swallow' }, containing: 'COMMIT' })
      const error = errorOf(() => [...db.iterate(sql)])
      assert.ok(error instanceof type, String(error))
      proxy.set({ fault: { kind: 'pass' } })
    }
    assert.deepEqual(other.query('SELECT count(*) FROM t WHERE a = -2'), [[1n]])
  })

  test('cannot go on after its backend is closed', () => {
    const db = connect()
    const rows = db.iterate(SOME)
    rows.next()
    db.close()
    assert.throws(() => [...rows], { code: 'STORE_CLOSED' })
  })
})
