/** `agent-store info`: what a store is, how big, and whether its database finds it sound. @module */
import { statSync } from 'node:fs'
import { type Backend, Generation, SqliteBackend, WriterLog } from '../index.ts'
import { type Command, FoundFault } from './command.ts'
import { count, counted, size } from './output.ts'
import { hasCounters, hasLog, openForReading } from './store.ts'

/** What is found out: the value for scripts, and in words where that says more. */
type Facts = Readonly<
  Record<string, readonly [label: string, value: string | number, words?: string]>
>

export const info: Command = {
  summary: 'Show where a store is, its modes, sizes and counts, and let SQLite check its file.',
  args: [],
  options: { json: { type: 'boolean' } },
  optionHelp: { '--json': 'the same as one JSON object' },
  notes: 'Exit status 1 when the integrity check finds damage. `verify` checks the chain itself.',
  run({ store, options, out }) {
    using db = openForReading(store)
    const facts = db instanceof SqliteBackend ? ofFile(db) : ofServer(db)
    if (options.json) {
      const values = Object.entries(facts).map(([key, [, value]]) => [key, value])
      out.line(JSON.stringify(Object.fromEntries(values)))
    } else {
      for (const [label, value, words] of Object.values(facts)) {
        if (label !== '') out.line(`${label.padEnd(20)}${words ?? value}`)
      }
    }
    const integrity = facts.integrity?.[1] ?? 'ok'
    if (integrity !== 'ok') throw new FoundFault(`the file is damaged: ${integrity}`)
  },
}

function ofFile(db: SqliteBackend): Facts {
  const path = String(db.path)
  const [fileBytes, walBytes] = [bytesOf(path), bytesOf(`${path}-wal`)]
  const problems = db
    .query('PRAGMA integrity_check(10)')
    .flatMap(([problem]) => String(problem).split('\n'))
  return {
    file: ['file', path],
    journalMode: ['journal mode', db.journalMode],
    durability: ['durability', 'full', 'full: what this command line acknowledges is on disk'],
    sqliteVersion: ['SQLite', String(db.query('SELECT sqlite_version()')[0]?.[0])],
    fileBytes: [
      'size',
      fileBytes,
      `${size(fileBytes)}, and ${size(walBytes)} in the write-ahead log`,
    ],
    walBytes: ['', walBytes],
    ...contents(db),
    integrity: ['integrity', problems.join('; ')],
  }
}

const SETTINGS = `SELECT current_database(), current_user, current_schema(),
    current_setting('server_version'), pg_is_in_recovery(), current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'), current_setting('fsync'),
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)`
const SIZE = 'SELECT coalesce(pg_total_relation_size(to_regclass(?)), 0)'
const MIGRATIONS = "SELECT coalesce(max(id)::text, 'none') FROM _agent_store_migration"

function ofServer(db: Backend): Facts {
  const [database, user, schema, version, standby, commit, standbys, fsync, tls] = db
    .query(SETTINGS)
    .flat()
    .map(String)
  const bytes = (table: string) => Number(db.query(SIZE, [table])[0]?.[0])
  const log = bytes('_agent_store_log')
  const hasMigrations = bytes('_agent_store_migration') > 0
  const migration = hasMigrations ? String(db.query(MIGRATIONS)[0]?.[0]) : 'none'
  const flushed = fsync === 'off' ? ', and fsync is off: nothing is durable' : ''
  return {
    server: ['server', String('server' in db ? db.server : '')],
    database: ['database', String(database), `${database}, as ${user}, in schema ${schema}`],
    user: ['', String(user)],
    schema: ['', String(schema)],
    serverVersion: ['PostgreSQL', String(version)],
    role: ['role', standby === '1' ? 'standby' : 'primary'],
    synchronousCommit: ['synchronous commit', String(commit), `${commit}${flushed}`],
    synchronousStandbys: ['standbys waited for', String(standbys), standbys || 'none'],
    fsync: ['', String(fsync)],
    tls: ['TLS', tls === '1' ? 'on' : 'off'],
    migration: ['migrated to step', migration],
    logBytes: ['size of the log', log, size(log)],
    ...contents(db),
  }
}

function contents(db: Backend): Facts {
  const streams = hasLog(db) ? WriterLog.streams(db) : []
  const logs = streams.reduce((sum, stream) => sum + WriterLog.heads(db, stream).length, 0)
  const entries = hasLog(db) ? db.query('SELECT count(*) FROM _agent_store_log')[0]?.[0] : 0n
  const counters = hasCounters(db) ? Generation.list(db).length : 0
  return {
    streams: [
      'log',
      streams.length,
      `${counted(streams.length, 'stream')}, ${counted(logs, 'log')}, ${counted(BigInt(String(entries)), 'entry', 'entries')}`,
    ],
    logs: ['', logs],
    entries: ['', String(entries)],
    counters: ['counters', counters, count(counters)],
  }
}

function bytesOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
