/**
 * The operator's SQL on a real server, by `psql`. A database and roles are made and dropped again.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import {
  APPEND_ONLY_SQLSTATE,
  appendOnlySql,
  DEFAULT_ROLES,
  MIGRATION_LOCK_SQL,
  MIGRATIONS,
  partitionSql,
  quoteIdentifier,
  rolesSql,
  rowLevelSecuritySql,
} from '../../src/postgres/migrations.ts'
import { findProgram } from './installation.ts'
import { databaseUrl, withoutDatabase } from './server.ts'

const psql = findProgram('psql')
const skip = withoutDatabase() || (psql === undefined && 'psql is not installed')
const schemaSql = MIGRATIONS.flatMap(({ sql }) => sql)

describe('on a server', { skip }, () => {
  const tag = `as_test_${process.pid}`
  // Names that break out of every quote that is not kept.
  const roles = {
    owner: `${tag}_o"w'n$$er`,
    writer: `${tag}_w\\'$agent_store$ ?`,
    reader: `${tag}_reader`,
    schema: `a "schema" of its own`,
  }
  const other = `${tag}_other`
  const unprivileged = `${tag}_unprivileged`
  const database = `${tag}_db`

  interface Outcome {
    readonly rows: string[]
    readonly sqlstate: string
    readonly message: string
  }

  /** Statements as one role, each on its own, up to the first that fails. */
  function run(statements: readonly string[], role = '', db = database): Outcome {
    const target = new URL(databaseUrl())
    target.pathname = `/${db}`
    const path = `SET search_path = ${quoteIdentifier(roles.schema)}`
    const become = role === '' ? [] : [`SET SESSION AUTHORIZATION ${quoteIdentifier(role)}`]
    const { stdout, stderr, status, error } = spawnSync(
      psql ?? '',
      ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', target.href],
      {
        encoding: 'utf8',
        timeout: 30_000,
        env: { ...process.env, PGOPTIONS: '-c client_min_messages=warning' },
        input: [...(db === database ? [path] : []), ...become, ...statements].join(';\n'),
      },
    )
    if (error !== undefined) throw error
    const [, sqlstate = '', message = ''] = /ERROR: {2}(\w{5}): (.*)/.exec(stderr) ?? []
    assert.equal(status === 0, sqlstate === '', stderr)
    return { rows: stdout.split('\n').filter((line) => line !== ''), sqlstate, message }
  }

  function accepts(statements: readonly string[], role?: string, db?: string): string[] {
    const { rows, sqlstate, message } = run(statements, role, db)
    assert.equal(sqlstate, '', message)
    return rows
  }

  function refuses(sqlstate: string, statement: string, role?: string): string {
    const outcome = run([statement], role)
    assert.equal(outcome.sqlstate, sqlstate, `${statement}: ${outcome.message}`)
    return outcome.message
  }

  /** In one transaction, as it is meant to be run. */
  function migrate(statements: readonly string[], role?: string): void {
    accepts(['BEGIN', MIGRATION_LOCK_SQL, ...statements, 'COMMIT'], role)
  }

  const bytes = (byte: string) => `'\\x${byte.repeat(32)}'::bytea`

  /** The guarded append: one statement, nothing when the head is another one. */
  const append = (writer: string, seq: number, stream = 's') =>
    `INSERT INTO _agent_store_log (stream, writer, seq, prev_hash, content_hash, payload)
     SELECT '${stream}', '${writer}', ${seq}, ${seq === 1 ? 'NULL' : bytes('aa')}, ${bytes('aa')}, '\\x01'
     WHERE ${seq - 1} = coalesce((SELECT max(seq) FROM _agent_store_log
       WHERE stream = '${stream}' AND writer = '${writer}'), 0)
     ON CONFLICT DO NOTHING RETURNING seq`

  const bump = `INSERT INTO _agent_store_meta AS m (key, ival) VALUES ('report', 1)
    ON CONFLICT (key) DO UPDATE SET ival = m.ival + 1 RETURNING ival`

  /** Every row of the catalogs that the lists write to. */
  const catalog = () =>
    accepts([
      `SELECT oid, xmin, relname, relowner, relacl, relrowsecurity, relforcerowsecurity FROM pg_class
       WHERE relname LIKE '\\_agent\\_store%' ORDER BY oid`,
      'SELECT oid, xmin, * FROM pg_constraint WHERE conrelid <> 0 ORDER BY oid',
      'SELECT oid, xmin, tgname, tgenabled FROM pg_trigger ORDER BY oid',
      'SELECT oid, xmin, polname FROM pg_policy ORDER BY oid',
      'SELECT * FROM _agent_store_migration',
      `SELECT nspacl, nspowner FROM pg_namespace WHERE nspname LIKE 'a %'`,
      `SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE '${tag}%' ORDER BY 1`,
    ])

  before(() => {
    accepts([`CREATE DATABASE ${database}`], '', 'postgres')
    accepts([
      `CREATE SCHEMA ${quoteIdentifier(roles.schema)}`,
      `CREATE ROLE ${unprivileged}`,
      `GRANT USAGE ON SCHEMA ${quoteIdentifier(roles.schema)} TO ${unprivileged}`,
    ])
  })

  after(() => {
    accepts([`DROP DATABASE ${database}`], '', 'postgres')
    for (const role of [roles.owner, roles.writer, roles.reader, other, unprivileged]) {
      accepts([`DROP ROLE IF EXISTS ${quoteIdentifier(role)}`], '', 'postgres')
    }
  })

  test('the tables and the roles are made', () => {
    migrate([...schemaSql, ...rolesSql(roles)])
    assert.deepEqual(accepts(['SELECT id, name FROM _agent_store_migration ORDER BY id']), [
      '1|tables',
      '2|cursors of consumers',
    ])
    const login = accepts([
      `SELECT count(*) FROM pg_roles WHERE rolname LIKE '${tag}\\_%' AND rolcanlogin`,
    ])
    assert.deepEqual(login, ['0'])
  })

  test('an unprivileged role fails on CREATE TABLE IF NOT EXISTS though the table is there', () => {
    for (const statement of schemaSql.slice(0, 3)) {
      refuses('42501', statement, unprivileged)
      refuses('42501', statement, roles.writer)
    }
    const found = accepts([`SELECT to_regclass('_agent_store_log')`], roles.writer)
    assert.equal(found.length, 1)
  })

  test('a writer appends, counts, fences, reads and asks what the backend asks', () => {
    assert.deepEqual(accepts([append('alice', 1)], roles.writer), ['1'])
    assert.deepEqual(accepts([append('alice', 2)], roles.writer), ['2'])
    assert.deepEqual(accepts([append('alice', 2)], roles.writer), [])
    assert.deepEqual(accepts([bump, bump], roles.writer), ['1', '2'])
    accepts(
      [
        'BEGIN',
        `SELECT ival FROM _agent_store_meta WHERE key = 'report' FOR SHARE`,
        'SELECT pg_advisory_xact_lock(1::bigint)',
        'COMMIT',
        'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
        'SELECT count(*) FROM _agent_store_log',
        'COMMIT',
        'SELECT pg_is_in_recovery(), pg_walfile_name(pg_current_wal_lsn())',
        'SELECT system_identifier FROM pg_control_system()',
        `SELECT pg_logical_emit_message(true, 'agent-store', '')`,
      ],
      roles.writer,
    )
  })

  test('a writer moves the cursors of its consumers, and a reader looks at them', () => {
    const insert = `INSERT INTO _agent_store_cursor VALUES ('copy', 's', 'alice', 1, ${bytes('aa')})`
    accepts([insert, 'UPDATE _agent_store_cursor SET seq = 2'], roles.writer)
    assert.deepEqual(accepts(['SELECT seq FROM _agent_store_cursor'], roles.reader), ['2'])
    refuses('42501', 'DELETE FROM _agent_store_cursor', roles.reader)
    accepts(['DELETE FROM _agent_store_cursor'], roles.writer)
  })

  test('a writer can do nothing else', () => {
    for (const statement of [
      `UPDATE _agent_store_log SET payload = ''`,
      'DELETE FROM _agent_store_log',
      'TRUNCATE _agent_store_log',
      'DELETE FROM _agent_store_meta',
      'TRUNCATE _agent_store_meta',
      'CREATE TABLE mine (x INT)',
      'CREATE INDEX ON _agent_store_log (payload)',
      'CREATE TRIGGER t BEFORE INSERT ON _agent_store_log EXECUTE FUNCTION suppress_redundant_updates_trigger()',
      'ALTER TABLE _agent_store_log DISABLE TRIGGER ALL',
      'DROP TABLE _agent_store_log',
      'SELECT FROM _agent_store_log FOR SHARE',
      `INSERT INTO _agent_store_migration VALUES (99, '')`,
    ]) {
      refuses('42501', statement, roles.writer)
    }
  })

  test('a reader only reads', () => {
    assert.deepEqual(accepts(['SELECT count(*) FROM _agent_store_log'], roles.reader), ['2'])
    refuses('42501', append('bob', 1), roles.reader)
    refuses('42501', bump, roles.reader)
    refuses('42501', 'SELECT FROM _agent_store_log', unprivileged)
  })

  test('append-only refuses the owner, with its own SQLSTATE', () => {
    migrate(appendOnlySql(), roles.owner)
    for (const role of [roles.owner, '']) {
      const message = refuses(APPEND_ONLY_SQLSTATE, 'DELETE FROM _agent_store_log', role)
      assert.match(message, /DELETE of _agent_store_log refused: the log is append-only/)
      refuses(APPEND_ONLY_SQLSTATE, `UPDATE _agent_store_log SET payload = ''`, role)
      refuses(APPEND_ONLY_SQLSTATE, 'TRUNCATE _agent_store_log', role)
      refuses(APPEND_ONLY_SQLSTATE, 'DELETE FROM _agent_store_meta', role)
      refuses(APPEND_ONLY_SQLSTATE, 'TRUNCATE _agent_store_meta', role)
      refuses(APPEND_ONLY_SQLSTATE, 'UPDATE _agent_store_meta SET ival = ival - 1', role)
    }
    const applying = ['SET session_replication_role = replica', 'DELETE FROM _agent_store_log']
    assert.equal(run(applying).sqlstate, APPEND_ONLY_SQLSTATE)
    refuses(APPEND_ONLY_SQLSTATE, `UPDATE _agent_store_meta SET key = 'x'`, roles.writer)
    assert.deepEqual(accepts([append('alice', 3), bump], roles.writer), ['3', '3'])
  })

  test('the checks refuse what is no entry and no counter', () => {
    const row = (seq: string, prev: string, hash: string) =>
      `INSERT INTO _agent_store_log VALUES ('s', 'check', ${seq}, ${prev}, ${hash}, '')`
    refuses('23514', row('0', 'NULL', bytes('aa')), roles.writer)
    refuses('23514', row('1', bytes('aa'), bytes('aa')), roles.writer)
    refuses('23514', row('2', 'NULL', bytes('aa')), roles.writer)
    refuses('23514', row('2', `'\\x00'`, bytes('aa')), roles.writer)
    refuses('23514', row('1', 'NULL', `'\\x00'`), roles.writer)
    refuses('23514', `INSERT INTO _agent_store_meta VALUES ('negative', -1)`, roles.writer)
  })

  test('row-level security binds a role to the names it was given', () => {
    migrate(rowLevelSecuritySql(), roles.owner)
    refuses('42501', append('alice', 4), roles.writer)
    // The owner as well; a superuser is not held.
    refuses('42501', append('alice', 4), roles.owner)

    const bind = (role: string, writer: string) =>
      `INSERT INTO _agent_store_writer SELECT rolname, '${writer}' FROM pg_roles WHERE rolname LIKE '${role}%'`
    accepts([bind(`${tag}\\_w`, 'alice'), bind(`${tag}\\_w`, 'second')], roles.owner)
    assert.deepEqual(accepts([append('alice', 4)], roles.writer), ['4'])
    assert.deepEqual(accepts([append('second', 1)], roles.writer), ['1'])
    assert.match(refuses('42501', append('bob', 1), roles.writer), /row-level security/)

    // A role of its own that inherits the writer's privileges has names of its own.
    accepts([`CREATE ROLE ${other} LOGIN`, `GRANT ${quoteIdentifier(roles.writer)} TO ${other}`])
    accepts([bind(other, 'bob')], roles.owner)
    assert.deepEqual(accepts([append('bob', 1)], other), ['1'])
    refuses('42501', append('alice', 5), other)
    refuses('42501', `INSERT INTO _agent_store_writer VALUES ('${other}', 'alice')`, other)

    for (const role of [roles.writer, roles.reader, other, roles.owner]) {
      assert.deepEqual(accepts(['SELECT count(*) FROM _agent_store_log'], role), ['6'])
    }
  })

  test('all of it again, and nothing changes', () => {
    const everything = [
      ...schemaSql,
      ...rolesSql(roles),
      ...appendOnlySql(),
      ...rowLevelSecuritySql(),
    ]
    const found = catalog()
    const without = (rows: string[]) => rows.map((row) => row.replace(/^(\d+)\|\d+\|/, '$1|'))
    migrate(everything)
    assert.deepEqual(without(catalog()), without(found))
    accepts(everything) // outside a transaction as well
    assert.deepEqual(without(catalog()), without(found))
  })

  test('without a superuser: with CREATEROLE, and without it where the roles are there', () => {
    const [migrator, plain] = [`${tag}_migrator`, `${tag}_plain`]
    const [second, third] = [`${database}_2`, `${database}_3`]
    const names = { owner: `${tag}_o2`, writer: `${tag}_w2`, reader: `${tag}_r2`, schema: 'public' }
    accepts([`CREATE ROLE ${migrator} CREATEROLE`, `CREATE ROLE ${plain}`], '', 'postgres')
    try {
      for (const [role, db] of [
        [migrator, second],
        [plain, third],
      ] as const) {
        accepts([`CREATE DATABASE ${db} OWNER ${role}`], '', 'postgres')
        const owner = role === plain ? plain : names.owner
        const sql = [...schemaSql, ...rolesSql({ ...names, owner }), ...appendOnlySql()]
        accepts(sql, role, db)
        accepts(sql, role, db)
        assert.deepEqual(accepts([append('alice', 1)], names.writer, db), ['1'])
      }
    } finally {
      for (const db of [second, third]) accepts([`DROP DATABASE IF EXISTS ${db}`], '', 'postgres')
      for (const role of [names.owner, names.writer, names.reader, migrator, plain]) {
        accepts([`DROP ROLE IF EXISTS ${role}`], '', 'postgres')
      }
    }
  })

  test('partitions by stream, on which all the rest works as well', () => {
    accepts(['CREATE SCHEMA parts', `GRANT USAGE ON SCHEMA parts TO ${unprivileged}`])
    const there = ['SET search_path = parts']
    const partitioned = [...there, ...partitionSql({ partitions: 4 }), ...schemaSql]
    const everything = [
      ...partitioned,
      ...rolesSql({ ...roles, schema: 'parts' }),
      ...appendOnlySql(),
      ...rowLevelSecuritySql(),
    ]
    accepts(everything)
    accepts(everything)
    const streams = Array.from({ length: 20 }, (_, i) => append('alice', 1, `s${i}`))
    // What a superuser made belongs to the log's owner.
    accepts(
      [
        ...there,
        `INSERT INTO _agent_store_writer SELECT rolname, 'alice' FROM pg_roles WHERE rolname LIKE '${tag}\\_w%'`,
      ],
      roles.owner,
    )
    assert.equal(accepts([...there, ...streams], roles.writer).length, 20)
    assert.equal(run([...there, append('bob', 1)], roles.writer).sqlstate, '42501')
    const used = [...there, 'SELECT count(DISTINCT tableoid) FROM _agent_store_log']
    assert.deepEqual(accepts(used, roles.reader), ['4'])
    // Past the table's own door.
    assert.equal(
      run([...there, append('alice', 1).replaceAll('_log', '_log_0')], roles.writer).sqlstate,
      '42501',
    )
    for (const statement of ['DELETE FROM _agent_store_log_0', 'TRUNCATE _agent_store_log_0']) {
      assert.equal(run([...there, statement]).sqlstate, APPEND_ONLY_SQLSTATE)
    }
    // Neither into another number of partitions, nor over a log that has none.
    assert.notEqual(run([...there, ...partitionSql({ partitions: 8 })]).sqlstate, '')
    assert.notEqual(run(partitionSql({ partitions: 4 })).sqlstate, '')
  })
})

test('a name that the server would cut or cannot hold is refused', () => {
  assert.equal(quoteIdentifier('a"b'), '"a""b"')
  assert.equal(quoteIdentifier('ä'.repeat(31)), `"${'ä'.repeat(31)}"`)
  assert.throws(() => quoteIdentifier('ä'.repeat(32)), RangeError)
  assert.throws(() => quoteIdentifier(''), RangeError)
  assert.throws(() => quoteIdentifier('a\0b'), TypeError)
  assert.throws(() => quoteIdentifier('\ud800'), TypeError)
  assert.throws(() => rolesSql({ ...DEFAULT_ROLES, schema: '' }), RangeError)
  assert.throws(() => partitionSql({ partitions: 1 }), RangeError)
  assert.throws(() => partitionSql({ partitions: 2.5 }), RangeError)
})

test('steps are numbered from 1, and every list is single statements', () => {
  assert.deepEqual(
    MIGRATIONS.map(({ id }) => id),
    MIGRATIONS.map((_, i) => i + 1),
  )
  for (const sql of [
    schemaSql,
    rolesSql(DEFAULT_ROLES),
    appendOnlySql(),
    rowLevelSecuritySql(),
  ].flat()) {
    // Semicolons only inside a dollar quote.
    assert.doesNotMatch(sql.replace(/(\$\w+\$)[\s\S]*?\1/g, ''), /;/)
  }
})
