/** What the backend contract itself asks. @module */
import assert from 'node:assert/strict'
import type { Value } from '../index.ts'
import { type ConformanceCase, onStore, onTwo, throwsCode } from './case.ts'

const TABLE = 'CREATE TABLE t (id BIGINT, name TEXT)'

/** Cases of `Backend`. */
export const backendCases: readonly ConformanceCase[] = [
  onStore('gives every kind of value back as it was', (db) => {
    const values: Value[] = [
      null,
      0n,
      -1n,
      2n ** 53n + 1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
      1.5,
      -0.25,
      'text',
      '',
      'ünïcödé 🦎 \ufffd \ufeff',
      new Uint8Array([0, 255, 128]),
      new Uint8Array(0),
    ]
    for (const value of values) {
      assert.deepEqual(db.query('SELECT ?', [value]), [[value]])
    }
  }),
  onStore('binds exactly the bytes of a view', (db) => {
    const whole = new Uint8Array([1, 2, 3, 4, 5])
    const [row] = db.query('SELECT ?', [whole.subarray(1, 3)])
    assert.deepEqual(row?.[0], new Uint8Array([2, 3]))
  }),
  onStore('counts the rows that a statement changed', (db) => {
    assert.equal(db.exec(TABLE), 0)
    assert.equal(db.exec('INSERT INTO t VALUES (1, ?), (2, ?)', ['a', 'b']), 2)
    assert.equal(db.exec('CREATE TABLE other (id BIGINT)'), 0)
    assert.equal(db.exec('UPDATE t SET name = ? WHERE id = 7', ['x']), 0)
    assert.equal(db.exec('DELETE FROM t'), 2)
  }),
  onStore('runs a statement for many rows, all or none', (db) => {
    db.exec('CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)')
    const sql = 'INSERT INTO t VALUES (?, ?)'
    assert.equal(db.execMany(sql, []), 0)
    assert.equal(
      db.execMany(sql, [
        [1n, 'a'],
        [2n, null],
        [3n, 'c'],
      ]),
      3,
    )
    assert.throws(() =>
      db.execMany(sql, [
        [4n, 'd'],
        [1n, 'twice'],
      ]),
    )
    assert.throws(
      () =>
        db.execMany(sql, [
          [5n, 'e'],
          [6n, '\ud800'],
        ]),
      TypeError,
    )
    assert.throws(() => db.execMany('SELECT ?', [[1n]]), TypeError)
    assert.equal(db.inTransaction, false)
    assert.deepEqual(db.query('SELECT id, name FROM t ORDER BY id'), [
      [1n, 'a'],
      [2n, null],
      [3n, 'c'],
    ])
  }),
  onStore('gives what is stored by then, whatever was hinted before', (db) => {
    db.exec(TABLE)
    const sql = 'SELECT id FROM t WHERE id > ?'
    db.ahead?.(sql, [0n])
    assert.deepEqual(db.query(sql, [0n]), [])
    db.ahead?.(sql, [0n])
    db.exec('INSERT INTO t VALUES (1, NULL)')
    assert.deepEqual(db.query(sql, [0n]), [[1n]])
    db.ahead?.(sql, [0n])
    assert.deepEqual(db.query(sql, [1n]), [])
    db.ahead?.(sql, [0n])
    db.transaction(() => assert.deepEqual(db.query(sql, [0n]), [[1n]]))
    db.ahead?.('SELECT id / (id - id) FROM t WHERE id > ?', [0n])
    assert.deepEqual(db.query(sql, [0n]), [[1n]])
    db.ahead?.(sql, [0n])
  }),
  onStore('returns the rows of RETURNING', (db) => {
    db.exec(TABLE)
    assert.deepEqual(db.query('INSERT INTO t VALUES (3, ?) RETURNING id', ['c']), [[3n]])
    assert.deepEqual(db.query('SELECT id, name FROM t'), [[3n, 'c']])
  }),
  onStore('refuses to exec a statement that returns rows', (db) => {
    assert.throws(() => db.exec('SELECT 1'), TypeError)
  }),
  onStore('refuses a second statement and runs neither', (db) => {
    db.exec(TABLE)
    assert.throws(() => db.exec("INSERT INTO t VALUES (1, 'a'); DELETE FROM t"))
    assert.deepEqual(db.query('SELECT count(*) FROM t'), [[0n]])
  }),
  onStore('refuses transaction control as SQL', (db) => {
    for (const sql of [
      'BEGIN',
      'commit',
      ';COMMIT',
      ' ROLLBACK',
      '-- so\nSAVEPOINT x',
      '/* */ RELEASE x',
    ]) {
      assert.throws(() => db.exec(sql), TypeError, sql)
    }
    assert.equal(db.inTransaction, false)
  }),
  onStore('refuses text that databases do not keep', (db) => {
    for (const text of ['\ud800', 'a\udfffb', 'nul\0']) {
      assert.throws(() => db.query('SELECT ?', [text]), TypeError)
    }
  }),
  onStore('refuses what is no value', (db) => {
    const wrong: unknown[] = [undefined, true, {}, new ArrayBuffer(2), new Date(0), [1n]]
    for (const value of wrong) {
      assert.throws(() => db.query('SELECT ?', [value as Value]), TypeError)
    }
    assert.throws(() => db.query('SELECT ?', [2n ** 63n]), RangeError)
  }),
  onStore('reports a refused statement as a backend error with its cause', (db) => {
    assert.throws(
      () => db.query('SELECT nothing FROM nowhere'),
      (error: unknown) =>
        error instanceof Error &&
        'code' in error &&
        error.code === 'STORE_BACKEND' &&
        error.cause instanceof Error,
    )
  }),
  onStore('iterates row by row, and stops when told', (db) => {
    db.exec(TABLE)
    for (let i = 1n; i <= 5n; i++) db.exec('INSERT INTO t VALUES (?, ?)', [i, 'x'])
    const seen: unknown[] = []
    for (const [id] of db.iterate('SELECT id FROM t ORDER BY id')) {
      seen.push(id)
      if (id === 3n) break
    }
    assert.deepEqual(seen, [1n, 2n, 3n])
    assert.equal(db.exec('DELETE FROM t WHERE id > 3'), 2)
    assert.deepEqual([...db.iterate('SELECT id FROM t WHERE id > ?', [1n])].length, 2)
  }),
  {
    ...onStore('runs other statements, and the same one, in mid-iteration', (db) => {
      db.exec(TABLE)
      for (let i = 1n; i <= 3n; i++) db.exec('INSERT INTO t VALUES (?, ?)', [i, 'x'])
      const sql = 'SELECT id FROM t ORDER BY id'
      const pairs: unknown[] = []
      for (const [a] of db.iterate(sql)) for (const [b] of db.iterate(sql)) pairs.push([a, b])
      assert.equal(pairs.length, 9)
      assert.deepEqual(db.query(sql).length, 3)
    }),
    needs: ['interleaving'],
  },
  onStore('commits what the callback did and returns what it returned', (db) => {
    db.exec(TABLE)
    const result = db.transaction(() => {
      assert.equal(db.inTransaction, true)
      db.exec("INSERT INTO t VALUES (1, 'a')")
      return 'done'
    })
    assert.equal(result, 'done')
    assert.equal(db.inTransaction, false)
    assert.deepEqual(db.query('SELECT id FROM t'), [[1n]])
  }),
  onStore('rolls back when the callback throws, and passes the error on', (db) => {
    db.exec(TABLE)
    const reason = new Error('mine')
    assert.throws(
      () =>
        db.transaction(() => {
          db.exec("INSERT INTO t VALUES (1, 'a')")
          throw reason
        }),
      (error: unknown) => error === reason,
    )
    assert.equal(db.inTransaction, false)
    assert.deepEqual(db.query('SELECT id FROM t'), [])
  }),
  onStore('makes a nested transaction a savepoint', (db) => {
    db.exec(TABLE)
    db.transaction(() => {
      db.exec("INSERT INTO t VALUES (1, 'kept')")
      assert.throws(() =>
        db.transaction(() => {
          db.exec("INSERT INTO t VALUES (2, 'dropped')")
          db.transaction(() => db.exec("INSERT INTO t VALUES (3, 'dropped too')"))
          throw new Error('inner')
        }),
      )
      db.transaction(() => db.exec("INSERT INTO t VALUES (4, 'kept')"))
    })
    assert.deepEqual(db.query('SELECT id FROM t ORDER BY id'), [[1n], [4n]])
  }),
  onStore('refuses an asynchronous callback and rolls back', (db) => {
    db.exec(TABLE)
    assert.throws(() => db.transaction(async () => undefined), TypeError)
    assert.throws(() => db.transaction(function* () {}), TypeError)
    assert.throws(
      () =>
        db.transaction(() => {
          db.exec("INSERT INTO t VALUES (1, 'a')")
          return Promise.resolve()
        }),
      TypeError,
    )
    assert.equal(db.inTransaction, false)
    assert.deepEqual(db.query('SELECT id FROM t'), [])
  }),
  onStore('runs afterCommit actions after the outermost commit, in order', (db) => {
    const seen: string[] = []
    db.afterCommit(() => seen.push('at once'))
    db.transaction(() => {
      db.afterCommit(() => seen.push(`first, inside: ${db.inTransaction}`))
      db.transaction(() => db.afterCommit(() => seen.push('second')))
      assert.throws(() =>
        db.transaction(() => {
          db.afterCommit(() => seen.push('never'))
          throw new Error('inner')
        }),
      )
      assert.deepEqual(seen, ['at once'])
    })
    assert.deepEqual(seen, ['at once', 'first, inside: false', 'second'])
    assert.throws(() =>
      db.transaction(() => {
        db.afterCommit(() => seen.push('never'))
        throw new Error('outer')
      }),
    )
    assert.equal(seen.length, 3)
  }),
  onStore('refuses fewer or more parameters than there are placeholders', (db) => {
    db.exec('CREATE TABLE t (a TEXT, b TEXT)')
    const insert = "INSERT INTO t (a, b) VALUES (?, 'what?') -- ?"
    for (const params of [[], ['a', 'b']]) {
      assert.throws(() => db.exec(insert, params), TypeError)
      assert.throws(() => db.query("SELECT ? || '?'", params), TypeError)
      assert.throws(() => [...db.iterate('SELECT ?', params)], TypeError)
      assert.throws(() => db.execMany(insert, [['a'], params]), TypeError)
    }
    assert.deepEqual(db.query('SELECT count(*) FROM t'), [[0n]])
    assert.equal(db.exec(insert, ['a']), 1)
  }),
  onStore('reads but does not write in a snapshot', (db) => {
    db.exec(TABLE)
    db.snapshot(() => {
      assert.deepEqual(db.query('SELECT id FROM t'), [])
      throwsCode('STORE_BACKEND', () => db.exec("INSERT INTO t VALUES (1, 'a')"))
      assert.throws(() => db.transaction(() => undefined), TypeError)
      db.afterCommit(() => db.query('SELECT 1'))
    })
    assert.equal(db.exec("INSERT INTO t VALUES (1, 'a')"), 1)
  }),
  onStore('sees the transaction from a snapshot inside it', (db) => {
    db.exec(TABLE)
    db.transaction(() => {
      db.exec("INSERT INTO t VALUES (1, 'a')")
      db.snapshot(() => assert.deepEqual(db.query('SELECT id FROM t'), [[1n]]))
      db.exec("INSERT INTO t VALUES (2, 'b')")
    })
    assert.deepEqual(db.query('SELECT count(*) FROM t'), [[2n]])
  }),
  onStore('is closed for good once it is closed', (db) => {
    db.close()
    db.close()
    throwsCode('STORE_CLOSED', () => db.exec(TABLE))
    throwsCode('STORE_CLOSED', () => db.query('SELECT 1'))
    throwsCode('STORE_CLOSED', () => db.iterate('SELECT 1').next())
    throwsCode('STORE_CLOSED', () => db.transaction(() => undefined))
    throwsCode('STORE_CLOSED', () => db.snapshot(() => undefined))
  }),
  onTwo('shows a commit to another connection, and nothing before it', (a, b) => {
    a.exec(TABLE)
    a.transaction(() => {
      a.exec("INSERT INTO t VALUES (1, 'a')")
      assert.deepEqual(b.query('SELECT id FROM t'), [])
    })
    assert.deepEqual(b.query('SELECT id FROM t'), [[1n]])
  }),
  onTwo('keeps a snapshot as it was while another connection writes', (a, b) => {
    a.exec(TABLE)
    a.snapshot(() => {
      assert.deepEqual(a.query('SELECT id FROM t'), [])
      b.exec("INSERT INTO t VALUES (1, 'b')")
      assert.deepEqual(a.query('SELECT id FROM t'), [])
    })
    assert.deepEqual(a.query('SELECT id FROM t'), [[1n]])
  }),
]
