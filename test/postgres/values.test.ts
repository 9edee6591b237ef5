/**
 * What goes in comes out, for every kind of value, and what cannot is refused before it is
 * sent; statements survive what other sessions do to tables and to them.
 */
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { BackendError, InDoubtError, type Value } from 'agent-store'
import { PgBackend, type PgOptions } from 'agent-store/postgres'
import { noise } from '../support.ts'
import { emptyPlace } from './database.ts'
import { errorOf } from './meanwhile.ts'
import { withoutDatabase } from './server.ts'

describe('values and statements of a server', { skip: withoutDatabase() }, () => {
  let place: PgOptions
  let db: PgBackend
  const ends: (() => void)[] = []
  before(() => {
    place = emptyPlace({ after: (end) => void ends.push(() => (end as () => void)()) })
    db = PgBackend.connect(place)
  })
  beforeEach(() => {
    db.exec('DROP TABLE IF EXISTS t')
    db.exec('CREATE TABLE t (a bigint, b text)')
  })
  after(() => {
    db.close()
    for (const end of ends) end()
  })
  const one = (sql: string, params: readonly Value[] = []) => db.query(sql, params)[0]?.[0]
  const refusedWith = (driverCode: string, work: () => unknown) => {
    const error = errorOf(work)
    assert.ok(error instanceof BackendError, String(error))
    assert.equal(error.driverCode, driverCode)
    assert.equal(one('SELECT 1::bigint'), 1n, 'the connection lives on')
  }

  test('bytes and texts of every kind come back as they were', () => {
    const every = Uint8Array.from({ length: 256 }, (_, n) => n)
    for (const bytes of [every, new Uint8Array(0), new Uint8Array(1)]) {
      assert.deepEqual(one('SELECT ?::bytea', [bytes]), bytes)
    }
    for (const text of ['', 'ä€😀', '\u0001\t\r\n', '\u007f\u0080\uffff', "'\\?$1"]) {
      assert.equal(one('SELECT ?::text', [text]), text)
    }
    const view = every.subarray(100, 200)
    assert.deepEqual(one('SELECT ?::bytea', [view]), new Uint8Array(view))
  })

  test('20 MiB go there and come back', () => {
    const bytes = noise(20 * 2 ** 20, 3)
    const back = one('SELECT ?::bytea', [bytes])
    assert.ok(back instanceof Uint8Array && Buffer.compare(back, bytes) === 0)
    const text = 'äbc'.repeat(5 * 2 ** 20)
    assert.equal(one('SELECT ?::text', [text]), text)
  })

  test('bytes that were read are the caller’s own', () => {
    const [[one, two] = []] = db.query("SELECT '\\x0102'::bytea, '\\x0304'::bytea")
    assert.ok(one instanceof Uint8Array && two instanceof Uint8Array)
    one.fill(9)
    assert.deepEqual(two, Uint8Array.of(3, 4))
    assert.equal(two.buffer.byteLength, 2)
  })

  test('integers are exact to both ends of 64 bits', () => {
    for (const value of [2n ** 63n - 1n, -(2n ** 63n), 0n, -1n, 2n ** 53n + 1n]) {
      assert.equal(one('SELECT ?', [value]), value)
    }
    assert.throws(() => one('SELECT ?', [2n ** 63n]), RangeError)
    refusedWith('22003', () => one('SELECT ? + 1', [2n ** 63n - 1n]))
  })

  test('numbers are exact, the special ones included', () => {
    for (const value of [0.1, -0, 5e-324, Number.MAX_VALUE, Infinity, -Infinity]) {
      assert.ok(Object.is(one('SELECT ?::float8', [value]), value), String(value))
    }
    assert.throws(() => one('SELECT ?::float8', [Number.NaN]), RangeError)
    assert.ok(Number.isNaN(one("SELECT 'NaN'::float8")))
    assert.equal(one('SELECT 1.5::float4'), 1.5)
  })

  test('small integers and booleans are read as bigint, all other types as text', () => {
    const [row] = db.query(`SELECT 1::int2, -2::int4, 4294967295::oid, true, false, 1.50::numeric,
      '{"a": 1}'::jsonb, '00000000-0000-0000-0000-00000000002a'::uuid, '2026-01-02'::date,
      '2026-01-02 03:04:05.678901+00'::timestamptz AT TIME ZONE 'UTC', ARRAY[1, 2],
      'a'::name, 'x'::"char", NULL::bigint, ROW(1, 'a'), '1 day'::interval`)
    assert.deepEqual(row, [
      1n,
      -2n,
      4294967295n,
      1n,
      0n,
      '1.50',
      '{"a": 1}',
      '00000000-0000-0000-0000-00000000002a',
      '2026-01-02',
      '2026-01-02 03:04:05.678901',
      '{1,2}',
      'a',
      'x',
      null,
      '(1,a)',
      '1 day',
    ])
  })

  test('NUL, lone surrogates and what is no value are refused before they are sent', () => {
    for (const text of ['a\0b', '\ud800', 'a\udc00b']) {
      assert.throws(() => db.exec('INSERT INTO t (b) VALUES (?)', [text]), TypeError)
      assert.throws(() => db.query(`SELECT '${text}'`), TypeError)
    }
    for (const value of [undefined, true, new Date(0), [1], {}] as unknown as Value[]) {
      assert.throws(() => db.exec('INSERT INTO t (b) VALUES (?)', [value]), TypeError)
    }
    assert.throws(() => db.query('SELECT ?'), TypeError)
    assert.throws(() => db.query('SELECT 1', [1n]), TypeError)
    assert.deepEqual(db.query('SELECT * FROM t'), [])
  })

  test('a statement has at most 65,535 parameters, and one with more harms nothing', () => {
    const list = (length: number) => Array.from({ length }, () => '?').join()
    const values = (length: number) => Array.from({ length }, (_, n) => BigInt(n))
    for (const length of [32_768, 65_535]) {
      const sql = `SELECT count(*) FROM unnest(ARRAY[${list(length)}])`
      assert.equal(one(sql, values(length)), BigInt(length))
    }
    assert.throws(() => db.query(`SELECT ${list(65_536)}`, values(65_536)), RangeError)
    assert.equal(one('SELECT 1::bigint'), 1n)
  })

  test('the operators of jsonb are there', () => {
    assert.equal(one(`SELECT '{"a": 1}'::jsonb ?? ?`, ['a']), 1n)
    assert.equal(one(`SELECT '{"a": 1}'::jsonb ??| ARRAY['b', 'c']`), 0n)
    assert.throws(() => db.query('SELECT $1', ['a']), TypeError)
  })

  test('one statement a call, and none that controls transactions', () => {
    refusedWith('42601', () => db.query('SELECT 1; SELECT 2'))
    assert.throws(() => db.exec('BEGIN'), TypeError)
    assert.equal(one('SELECT 1::bigint;'), 1n)
    assert.throws(() => db.exec('SELECT 1'), TypeError)
    assert.deepEqual(db.query(''), [])
    assert.equal(db.exec('-- nothing'), 0)
  })

  test('closing inside a transaction is refused, and it goes on', () => {
    db.transaction(() => {
      assert.throws(() => db.close(), /close\(\) must be called outside of transaction\(\)/)
      assert.equal(one('SELECT 1::bigint'), 1n)
    })
    assert.equal(one('SELECT 2::bigint'), 2n)
  })

  test('COPY is refused without harm', () => {
    for (const sql of [
      'COPY t FROM STDIN',
      'COPY t TO STDOUT',
      'copy (SELECT 1) to /* a */ stdout',
    ]) {
      assert.throws(() => db.exec(sql), { name: 'TypeError', message: /COPY/ })
      assert.equal(one('SELECT 1::bigint'), 1n)
    }
    assert.throws(
      () =>
        db.transaction(() => {
          db.exec('INSERT INTO t (a) VALUES (1)')
          db.exec('COPY t FROM STDIN')
        }),
      TypeError,
    )
    assert.deepEqual(db.query('SELECT * FROM t'), [])
  })

  test('a failed statement spoils its transaction, and COMMIT cannot hide it', () => {
    const error = errorOf(() =>
      db.transaction(() => {
        db.exec('INSERT INTO t (a) VALUES (1)')
        assert.throws(() => db.query('SELECT 1 / 0'), BackendError)
      }),
    )
    assert.ok(error instanceof BackendError)
    assert.match(error.message, /a statement in it failed/)
    assert.deepEqual(db.query('SELECT * FROM t'), [])
    // A savepoint confines it.
    db.transaction(() => {
      db.exec('INSERT INTO t (a) VALUES (1)')
      assert.throws(() => db.transaction(() => db.query('SELECT 1 / 0')), BackendError)
      db.exec('INSERT INTO t (a) VALUES (2)')
    })
    assert.deepEqual(db.query('SELECT a FROM t'), [[1n], [2n]])
  })

  test('what is checked at the commit stores nothing, and is no doubt', () => {
    db.exec('ALTER TABLE t ADD CONSTRAINT u UNIQUE (a) DEFERRABLE INITIALLY DEFERRED')
    refusedWith('23505', () =>
      db.transaction(() => db.execMany('INSERT INTO t (a) VALUES (?)', [[1n], [1n]])),
    )
    refusedWith('23505', () => db.execMany('INSERT INTO t (a) VALUES (?)', [[1n], [2n], [1n]]))
    assert.deepEqual(db.query('SELECT * FROM t'), [])
  })

  for (const pooler of ['none', 'transaction'] as const) {
    describe(`statements with pooler: '${pooler}'`, () => {
      let own: PgBackend
      before(() => {
        own = PgBackend.connect({ ...place, pooler })
      })
      after(() => own.close())

      test('a table that changes under a statement is seen as it is', () => {
        const all = () => own.query('SELECT * FROM t')
        const some = () => own.query('SELECT a FROM t')
        const iterated = () => [...own.iterate('SELECT * FROM t')]
        db.exec("INSERT INTO t VALUES (1, 'x')")
        for (const [change, row] of [
          ['ALTER a TYPE bigint', [1n, 'x']],
          ['ADD COLUMN c float8 DEFAULT 1.5', [1n, 'x', 1.5]],
          ['ALTER a TYPE float8', [1, 'x', 1.5]],
          ['ALTER a TYPE text', ['1', 'x', 1.5]],
          ['DROP COLUMN c', ['1', 'x']],
          ['ALTER a TYPE int USING a::int', [1n, 'x']],
        ] as const) {
          db.exec(`ALTER TABLE t ${change}`)
          assert.deepEqual([all(), some(), all()], [[row], [[row[0]]], [row]], change)
          db.exec('ALTER TABLE t ADD COLUMN other int')
          db.exec('ALTER TABLE t DROP COLUMN other')
          assert.deepEqual([iterated(), iterated()], [[row], [row]], change)
        }
        db.exec('ALTER TABLE t ALTER a TYPE float8')
        assert.deepEqual(iterated(), [[1, 'x']])
      })

      test('a table that changed is an error inside a transaction, and none in the next', () => {
        const read = () => own.query('SELECT a FROM t')
        const iterated = () => [...own.iterate('SELECT a FROM t')]
        db.exec("INSERT INTO t VALUES (1, 'x')")
        for (const work of [read, iterated]) {
          assert.deepEqual(work(), [[1n]])
          db.exec('ALTER TABLE t ALTER a TYPE float8')
          assert.throws(() => own.transaction(work), BackendError)
          assert.deepEqual(own.transaction(work), [[1]])
          db.exec('ALTER TABLE t ALTER a TYPE bigint')
          assert.deepEqual(work(), [[1n]])
        }
      })

      test('a read that was sent ahead is sent again when its columns have changed', () => {
        const sql = 'SELECT a FROM t WHERE a = ?'
        db.exec("INSERT INTO t VALUES (1, 'x')")
        assert.deepEqual(own.query(sql, [1n]), [[1n]])
        db.exec('ALTER TABLE t ALTER a TYPE float8')
        own.ahead(sql, [1n])
        assert.deepEqual(own.query(sql, [1n]), [[1]])
      })

      test('a read that was sent ahead is taken for the same parameters alone', () => {
        const sql = 'SELECT ?'
        const bytes = (...some: number[]) => [Uint8Array.from(some)]
        for (const [ahead, asked] of [
          [bytes(1, 2), bytes(1, 2)],
          [bytes(1, 2), bytes(1, 3)],
          [bytes(1, 2), ['\\x0102']],
          [['a'], ['b']],
        ] as const) {
          own.ahead(sql, ahead)
          assert.deepEqual(own.query(sql, asked), [asked])
        }
        assert.throws(() => own.ahead('INSERT INTO t (a) VALUES (1)', []), /sql must only read/)
      })

      test('a write whose result has changed is run once, whatever becomes of it', () => {
        const add = () => own.query('INSERT INTO t (a) VALUES (7) RETURNING a')
        assert.deepEqual(add(), [[7n]])
        db.exec('ALTER TABLE t ALTER a TYPE float8')
        if (pooler === 'none') assert.deepEqual(add(), [[7]])
        else assert.throws(add, InDoubtError)
        assert.equal(one('SELECT count(*) FROM t'), 2n)
        assert.deepEqual(add(), [[7]])
      })

      test('a write that is refused is no doubt, whatever its columns are', () => {
        const add = () => own.query('INSERT INTO t (a) VALUES (7) RETURNING a, b')
        assert.deepEqual(add(), [[7n, null]])
        db.exec('ALTER TABLE t ALTER a TYPE float8, ADD CHECK (a <> 7) NOT VALID')
        const error = errorOf(add)
        assert.ok(error instanceof BackendError, String(error))
        assert.equal(error.driverCode, '23514')
        assert.equal(one('SELECT count(*) FROM t'), 1n)
      })

      test('statements that somebody dropped are prepared again', () => {
        const ask = () => own.query('SELECT ?::bigint', [1n])
        for (const drop of ['DEALLOCATE ALL', 'DISCARD ALL', 'DISCARD PLANS']) {
          assert.deepEqual(ask(), [[1n]])
          own.exec(drop)
          assert.deepEqual(ask(), [[1n]], drop)
          assert.equal(own.execMany('INSERT INTO t (a) VALUES (?)', [[1n], [2n]]), 2)
          own.exec(drop)
          assert.equal(own.execMany('INSERT INTO t (a) VALUES (?)', [[1n], [2n]]), 2)
        }
      })

      test('more statements than are kept, and more kinds of rows in one call', () => {
        for (let n = 0; n < 300; n++) {
          assert.deepEqual(own.query(`SELECT ${n}::bigint`), [[BigInt(n)]])
        }
        assert.deepEqual(own.query('SELECT 0::bigint'), [[0n]])
        const columns = Array.from({ length: 9 }, (_, n) => `c${n}`)
        own.exec(`CREATE TEMP TABLE wide (${columns.map((c) => `${c} bigint`).join()})`)
        const rows = Array.from({ length: 512 }, (_, n) =>
          columns.map((_, bit) => ((n >> bit) & 1 ? 1n : null)),
        )
        const insert = `INSERT INTO wide VALUES (${columns.map(() => '?').join()})`
        assert.equal(own.execMany(insert, rows), 512)
        own.exec('DROP TABLE wide')
      })
    })
  }
})
