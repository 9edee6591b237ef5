/** `agent-store migrate`: lay the tables down on a server, with what an operator adds to them. @module */
import { isServerUrl, PgBackend } from '../postgres/index.ts'
import {
  appendOnlySql,
  DEFAULT_ROLES,
  MIGRATION_LOCK_SQL,
  MIGRATIONS,
  partitionSql,
  rolesSql,
  rowLevelSecuritySql,
} from '../postgres/migrations.ts'
import { type Command, integerOption, UsageError } from './command.ts'

export const migrate: Command = {
  summary: 'Lay the tables down on a PostgreSQL server; running it again changes nothing.',
  args: [],
  options: {
    roles: { type: 'boolean' },
    schema: { type: 'string' },
    'append-only': { type: 'boolean' },
    'row-level-security': { type: 'boolean' },
    partitions: { type: 'string' },
    print: { type: 'boolean' },
  },
  optionHelp: {
    '--roles': `also the roles ${DEFAULT_ROLES.owner}, ${DEFAULT_ROLES.writer}, ${DEFAULT_ROLES.reader}`,
    '--schema NAME': 'the schema that the roles are for; default: the first of the search path',
    '--append-only': 'also triggers that refuse to change or delete an entry',
    '--row-level-security': 'also policies that bind a role to its writer names',
    '--partitions N': 'a new log in N hash partitions by stream',
    '--print': 'print the SQL, run nothing',
  },
  notes:
    'What each part is for: docs/operating-postgres.md. All of it is one transaction: either\n' +
    'everything is there afterwards, or nothing has changed.',
  run({ store, options, out }) {
    if (!isServerUrl(store)) {
      throw new UsageError(
        'migrate is for a postgres:// URL; an SQLite file gets its tables at the first append',
      )
    }
    const partitions = integerOption(options.partitions, '--partitions')
    const partsFor = (
      schema: string,
    ): readonly (readonly [name: string, sql: readonly string[]])[] => [
      ...(partitions === undefined
        ? []
        : [['partitions', partitionSql({ partitions: Number(partitions) })] as const]),
      ...MIGRATIONS.map(({ id, name, sql }) => [`step ${id}, ${name}`, sql] as const),
      ...(options.roles ? [['roles', rolesSql({ ...DEFAULT_ROLES, schema })] as const] : []),
      ...(options['append-only'] ? [['append-only', appendOnlySql()] as const] : []),
      ...(options['row-level-security']
        ? [['row-level security', rowLevelSecuritySql()] as const]
        : []),
    ]
    const named = typeof options.schema === 'string' ? options.schema : undefined
    if (options.print) {
      for (const [name, sql] of partsFor(named ?? DEFAULT_ROLES.schema)) {
        out.line(`-- ${name}`)
        for (const statement of sql) out.line(`${statement.trim()};`)
      }
      return
    }
    using db = PgBackend.connect(store)
    const parts = partsFor(named ?? String(db.query('SELECT current_schema()')[0]?.[0]))
    const migrate = () => {
      db.query(MIGRATION_LOCK_SQL)
      for (const statement of parts.flatMap(([, sql]) => sql)) db.query(statement)
    }
    // Validating reads the whole log.
    db.patiently(() => db.transaction(migrate))
    for (const [name] of parts) out.line(`done: ${name}`)
  },
}
