/**
 * All or nothing, to any depth, and nothing run as if a transaction were still there.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { BackendError, SqliteBackend, type SqliteConnection, WriterLog } from 'agent-store'
import Database from 'better-sqlite3'
import { temporaryFolder, uncaughtFrom, unlessOn } from '../support.ts'

const no = new Error('no')
const fail = (): never => {
  throw no
}

function onBothDrivers(
  name: string,
  run: (db: SqliteBackend) => void | Promise<void>,
  skip: string | false = false,
): void {
  const drivers = { 'node:sqlite': DatabaseSync, 'better-sqlite3': Database }
  for (const [driver, Connection] of Object.entries(drivers)) {
    test(`${driver}: ${name}`, { skip }, async () => {
      const connection = new Connection(':memory:')
      const db = SqliteBackend.fromConnection(connection as SqliteConnection)
      db.exec('CREATE TABLE t (a UNIQUE)')
      try {
        await run(db)
      } finally {
        connection.close()
      }
    })
  }
}

const insert = (db: SqliteBackend, a: bigint) => db.exec('INSERT INTO t VALUES (?)', [a])
const stored = (db: SqliteBackend) => db.query('SELECT a FROM t ORDER BY a').map(([a]) => a)

onBothDrivers('what the callback returns comes back, and its writes are stored together', (db) => {
  assert.equal(db.inTransaction, false)
  const result = db.transaction(() => {
    assert.equal(db.inTransaction, true)
    insert(db, 1n)
    insert(db, 2n)
    return 'result'
  })
  assert.equal(result, 'result')
  assert.equal(db.inTransaction, false)
  assert.deepEqual(stored(db), [1n, 2n])
})

onBothDrivers('a throw rolls back and passes through as it is', (db) => {
  assert.throws(
    () =>
      db.transaction(() => {
        insert(db, 1n)
        fail()
      }),
    (error) => error === no,
  )
  assert.equal(db.inTransaction, false)
  assert.deepEqual(stored(db), [])
  db.transaction(() => insert(db, 2n))
  assert.deepEqual(stored(db), [2n])
})

onBothDrivers('anything may be thrown, undefined too', (db) => {
  let caught: unknown = 'nothing'
  try {
    db.transaction(() => {
      insert(db, 1n)
      throw undefined
    })
  } catch (error) {
    caught = error
  }
  assert.equal(caught, undefined)
  assert.deepEqual(stored(db), [])
})

onBothDrivers('an inner transaction that throws takes back its own part only', (db) => {
  db.transaction(() => {
    insert(db, 1n)
    assert.throws(
      () =>
        db.transaction(() => {
          insert(db, 2n)
          db.transaction(() => insert(db, 3n))
          fail()
        }),
      (error) => error === no,
    )
    assert.deepEqual(stored(db), [1n])
    db.transaction(() => insert(db, 4n))
    insert(db, 5n)
  })
  assert.deepEqual(stored(db), [1n, 4n, 5n])
})

onBothDrivers('an outer throw takes back inner transactions that had ended', (db) => {
  assert.throws(() =>
    db.transaction(() => {
      db.transaction(() => insert(db, 1n))
      fail()
    }),
  )
  assert.deepEqual(stored(db), [])
})

onBothDrivers('twenty deep, every other one taken back', (db) => {
  const nest = (depth: bigint): void => {
    if (depth > 20n) return
    try {
      db.transaction(() => {
        insert(db, depth)
        nest(depth + 1n)
        if (depth === 10n) fail()
      })
    } catch (error) {
      assert.equal(error, no)
    }
  }
  nest(1n)
  assert.deepEqual(stored(db), [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n])
})

onBothDrivers('an async function is refused before it runs', (db) => {
  let ran = false
  const work = async () => {
    ran = true
  }
  assert.throws(() => db.transaction(work), /work must be synchronous/)
  assert.throws(() => db.snapshot(work), TypeError)
  assert.equal(ran, false)
  assert.equal(db.inTransaction, false)
})

onBothDrivers('a callback that returns a Promise is refused and rolled back', (db) => {
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what is refused here
  const thenables = [Promise.resolve(1), { then: () => {} }]
  for (const result of thenables) {
    assert.throws(
      () =>
        db.transaction(() => {
          insert(db, 1n)
          return result
        }),
      /work must be synchronous, got a callback that returns a Promise; rolled back/,
    )
    assert.equal(db.inTransaction, false)
    assert.deepEqual(stored(db), [])
  }
  db.transaction(() => {
    insert(db, 1n)
    assert.throws(
      () =>
        db.transaction(() => {
          insert(db, 2n)
          return Promise.resolve()
        }),
      TypeError,
    )
  })
  assert.deepEqual(stored(db), [1n])
})

onBothDrivers('an object with a field called then, or none, is a result like any', (db) => {
  // biome-ignore lint/suspicious/noThenProperty: it is no thenable, as its value is no function
  const result = { then: 5 }
  assert.equal(
    db.transaction(() => result),
    result,
  )
  assert.equal(
    db.transaction(() => null),
    null,
  )
})

onBothDrivers('what is no function is refused', (db) => {
  assert.throws(() => db.transaction(5 as never), /work must be a function, got number/)
  assert.throws(() => db.snapshot(undefined as never), /work must be a function, got undefined/)
  assert.equal(db.inTransaction, false)
})

onBothDrivers('a statement that fails alone leaves the transaction as it was', (db) => {
  db.transaction(() => {
    insert(db, 1n)
    assert.throws(() => insert(db, 1n), BackendError)
    insert(db, 2n)
  })
  assert.deepEqual(stored(db), [1n, 2n])
})

onBothDrivers(
  'once the database rolled back by itself, nothing more runs and nothing is stored',
  (db) => {
    insert(db, 9n)
    let later = 0
    assert.throws(
      () =>
        db.transaction(() => {
          insert(db, 1n)
          assert.throws(() => db.exec('INSERT OR ROLLBACK INTO t VALUES (9)'), BackendError)
          const calls: readonly (() => unknown)[] = [
            () => insert(db, 2n),
            () => db.query('SELECT 1'),
            () => db.iterate('SELECT 1'),
            () => db.transaction(() => insert(db, 3n)),
            () => db.snapshot(() => 1),
          ]
          for (const call of calls) {
            assert.throws(call, /the transaction has ended/)
            later++
          }
        }),
      (error) => error instanceof BackendError && /the transaction has ended/.test(error.message),
    )
    assert.equal(later, 5)
    assert.deepEqual(stored(db), [9n])
    db.transaction(() => insert(db, 4n))
    assert.deepEqual(stored(db), [4n, 9n])
  },
)

onBothDrivers('the error that rolled it all back is the one that leaves, nested or not', (db) => {
  insert(db, 9n)
  assert.throws(
    () =>
      db.transaction(() => {
        db.transaction(() => db.exec('INSERT OR ROLLBACK INTO t VALUES (9)'))
      }),
    (error) => error instanceof BackendError && error.driverCode === 'SQLITE_CONSTRAINT',
  )
  assert.deepEqual(stored(db), [9n])
})

test('a COMMIT on the raw connection inside the callback is noticed', () => {
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE t (a)')
  assert.throws(
    () =>
      db.transaction(() => {
        insert(db, 1n)
        db.connection.exec('COMMIT')
        insert(db, 2n)
      }),
    /the transaction has ended/,
  )
  assert.deepEqual(stored(db), [1n])
})

onBothDrivers('afterCommit outside a transaction runs at once', (db) => {
  const calls: string[] = []
  db.afterCommit(() => calls.push('now'))
  assert.deepEqual(calls, ['now'])
})

onBothDrivers('afterCommit actions run in order, after the outermost commit', (db) => {
  const calls: string[] = []
  db.transaction(() => {
    db.afterCommit(() => calls.push(`1 ${db.inTransaction} ${stored(db).length}`))
    db.transaction(() => db.afterCommit(() => calls.push('2')))
    db.afterCommit(() => calls.push('3'))
    insert(db, 1n)
    calls.push('work done')
  })
  assert.deepEqual(calls, ['work done', '1 false 1', '2', '3'])
})

onBothDrivers('a rollback drops the actions of what it takes back, and only those', (db) => {
  const calls: string[] = []
  db.transaction(() => {
    db.afterCommit(() => calls.push('before'))
    assert.throws(() =>
      db.transaction(() => {
        db.afterCommit(() => calls.push('inner'))
        db.transaction(() => db.afterCommit(() => calls.push('innermost')))
        fail()
      }),
    )
    db.afterCommit(() => calls.push('after'))
  })
  assert.deepEqual(calls, ['before', 'after'])
  assert.throws(() =>
    db.transaction(() => {
      db.afterCommit(() => calls.push('lost'))
      fail()
    }),
  )
  db.transaction(() => 1)
  assert.deepEqual(calls, ['before', 'after'])
})

onBothDrivers(
  'an action that throws is an uncaught exception: the work is durable, the others run',
  async (db) => {
    const calls: string[] = []
    const caught = await uncaughtFrom(() => {
      const result = db.transaction(() => {
        db.afterCommit(fail)
        db.afterCommit(() => calls.push('next'))
        insert(db, 1n)
        return 'fine'
      })
      assert.equal(result, 'fine')
      db.afterCommit(fail)
    })
    assert.deepEqual(calls, ['next'])
    assert.deepEqual(caught, [no, no])
    assert.deepEqual(stored(db), [1n])
  },
  unlessOn('bun', 'its test runner ends a test on an uncaught exception by itself'),
)

onBothDrivers('an action may itself write in a transaction', (db) => {
  const calls: string[] = []
  db.transaction(() => {
    db.afterCommit(() =>
      db.transaction(() => {
        insert(db, 2n)
        db.afterCommit(() => calls.push('second'))
      }),
    )
    insert(db, 1n)
  })
  assert.deepEqual(calls, ['second'])
  assert.deepEqual(stored(db), [1n, 2n])
})

onBothDrivers('a snapshot reads and refuses every write', (db) => {
  insert(db, 1n)
  const result = db.snapshot(() => {
    assert.equal(db.inTransaction, true)
    assert.throws(
      () => insert(db, 2n),
      (error) => error instanceof BackendError && error.driverCode === 'SQLITE_READONLY',
    )
    return stored(db)
  })
  assert.deepEqual(result, [1n])
  assert.equal(db.inTransaction, false)
  insert(db, 3n)
  assert.deepEqual(stored(db), [1n, 3n])
})

onBothDrivers('a snapshot that throws is over, and writing goes on', (db) => {
  assert.throws(
    () => db.snapshot(fail),
    (error) => error === no,
  )
  assert.throws(() => db.snapshot(() => Promise.resolve()), TypeError)
  assert.equal(db.inTransaction, false)
  insert(db, 1n)
  assert.deepEqual(stored(db), [1n])
})

onBothDrivers('a snapshot in a snapshot is the same one, and ends with the outer', (db) => {
  db.snapshot(() => {
    assert.deepEqual(
      db.snapshot(() => stored(db)),
      [],
    )
    assert.equal(db.inTransaction, true)
    assert.throws(() => insert(db, 1n), BackendError)
  })
  insert(db, 1n)
})

onBothDrivers('a transaction inside a snapshot is refused', (db) => {
  db.snapshot(() => {
    assert.throws(() => db.transaction(() => insert(db, 1n)), /cannot start inside a snapshot/)
  })
  assert.deepEqual(stored(db), [])
})

onBothDrivers('a snapshot inside a transaction sees what that has written', (db) => {
  db.transaction(() => {
    insert(db, 1n)
    assert.deepEqual(
      db.snapshot(() => stored(db)),
      [1n],
    )
    insert(db, 2n)
  })
  assert.deepEqual(stored(db), [1n, 2n])
})

onBothDrivers('a snapshot inside a transaction cannot write either', (db) => {
  db.transaction(() => {
    db.snapshot(() => assert.throws(() => insert(db, 1n), BackendError))
    insert(db, 2n)
  })
  assert.deepEqual(stored(db), [2n])
})

test('a snapshot keeps to one state while another connection commits', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  using two = SqliteBackend.open(path)
  one.exec('CREATE TABLE t (a)')
  insert(one, 1n)
  one.snapshot(() => {
    assert.deepEqual(stored(one), [1n])
    insert(two, 2n)
    assert.deepEqual(stored(one), [1n])
    assert.deepEqual(stored(two), [1n, 2n])
  })
  assert.deepEqual(stored(one), [1n, 2n])
})

test('a transaction begun on the raw connection is joined as a savepoint', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  db.exec('CREATE TABLE t (a)')
  const calls: string[] = []
  db.connection.exec('BEGIN')
  insert(db, 1n)
  db.transaction(() => {
    insert(db, 2n)
    db.afterCommit(() => calls.push('never seen to commit'))
  })
  assert.equal(db.inTransaction, true)
  assert.throws(() =>
    db.transaction(() => {
      insert(db, 3n)
      fail()
    }),
  )
  assert.deepEqual(stored(db), [1n, 2n])
  db.connection.exec('ROLLBACK')
  assert.deepEqual(stored(db), [])
  assert.deepEqual(calls, [])
})

test("the raw connection's own savepoints live beside ours", () => {
  using db = SqliteBackend.inMemory()
  db.exec('CREATE TABLE t (a)')
  db.transaction(() => {
    insert(db, 1n)
    db.connection.exec('SAVEPOINT mine')
    db.transaction(() => insert(db, 2n))
    db.connection.exec('ROLLBACK TO mine')
    insert(db, 3n)
  })
  assert.deepEqual(stored(db), [1n, 3n])
})

test('domain rows and appends are stored together or not at all', () => {
  using db = SqliteBackend.inMemory()
  WriterLog.ensureSchema(db)
  db.exec('CREATE TABLE t (a)')
  assert.throws(() =>
    db.transaction(() => {
      WriterLog.append(db, 's', 'w', 'x')
      db.connection.prepare('INSERT INTO t VALUES (1)').run()
      fail()
    }),
  )
  assert.equal(WriterLog.head(db, 's', 'w'), null)
  assert.deepEqual(stored(db), [])
})

test('the write lock is taken at the start, before anything is read', (t) => {
  const path = join(temporaryFolder(t), 'fleet.db')
  using one = SqliteBackend.open(path)
  one.exec('CREATE TABLE t (a)')
  using two = SqliteBackend.open(path, { busyTimeoutMs: 20 })
  one.transaction(() => {
    assert.throws(() => insert(two, 1n), { code: 'STORE_BUSY' })
  })
})
