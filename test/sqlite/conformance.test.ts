/** Every backend that comes with the package passes the published suite. */
import '../from-source.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { SqliteBackend } from 'agent-store'
import { type Ability, conformanceCases, type OpenStore } from 'agent-store/testing'
import BetterSqlite3 from 'better-sqlite3'

interface Subject {
  readonly name: string
  readonly abilities: readonly Ability[]
  open(file: string): ReturnType<OpenStore>
}

const subjects: readonly Subject[] = [
  {
    name: 'a file',
    abilities: ['connections', 'interleaving', 'untyped-columns'],
    open: (file) => SqliteBackend.open(file, { durability: 'normal' }),
  },
  {
    name: 'memory',
    abilities: ['interleaving', 'untyped-columns'],
    open: () => SqliteBackend.inMemory(),
  },
  {
    name: 'a DatabaseSync',
    abilities: ['connections', 'interleaving', 'untyped-columns'],
    open: (file) =>
      SqliteBackend.fromConnection(walOf(new DatabaseSync(file)), { busyTimeoutMs: 5_000 }),
  },
  {
    name: 'a better-sqlite3 Database',
    // better-sqlite3 refuses other statements while one is iterated.
    abilities: ['connections', 'untyped-columns'],
    open: (file) => SqliteBackend.fromConnection(walOf(new BetterSqlite3(file))),
  },
]

function walOf<C extends { exec(sql: string): unknown }>(connection: C): C {
  connection.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
  return connection
}

for (const { name: subject, abilities, open } of subjects) {
  for (const { name, needs, run } of conformanceCases) {
    const missing = needs.filter((ability) => !abilities.includes(ability))
    const skip = missing.length > 0 && `it declares no ${missing.join(', ')}`
    test(`${subject} ${name}`, { skip }, () => {
      const folder = mkdtempSync(join(tmpdir(), 'agent-store-suite-'))
      try {
        run(() => open(join(folder, 'store.db')))
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }
}
