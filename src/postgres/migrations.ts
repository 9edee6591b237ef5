/**
 * What an operator runs on a Postgres server, as data: the tables, and as options the
 * roles, the append-only trigger, row-level security and partitions. Pure strings, no I/O.
 *
 * Every list may run again and then changes nothing. Each string is one statement; run a
 * list in one transaction, after {@link MIGRATION_LOCK_SQL}. Names without a schema are
 * those of the `search_path`. For PostgreSQL 14 and later.
 *
 * @module
 */
import { CURSOR, LOG, META } from '#shared'

/** A step of the schema. Its last statement notes in `_agent_store_migration` that it ran. */
export interface Migration {
  readonly id: number
  readonly name: string
  readonly sql: readonly string[]
}

/** Names of the three roles and of the schema that holds the tables. */
export interface Roles {
  /** Owns the tables; nobody logs in as it. */
  readonly owner: string
  /** Appends and counts. */
  readonly writer: string
  /** Reads and verifies. */
  readonly reader: string
  readonly schema: string
}

/** The names that the manifests in `deploy/` use. */
export const DEFAULT_ROLES: Roles = {
  owner: 'agent_store_owner',
  writer: 'agent_store_writer',
  reader: 'agent_store_reader',
  schema: 'public',
}

/**
 * Keeps two migrations apart; let go at the end of the transaction. Locks with two keys are
 * apart from those with one, which appends take.
 */
export const MIGRATION_LOCK_SQL = 'SELECT pg_advisory_xact_lock(1095979844, 1)'

/** The schema, in order of `id`. A step is never changed once it was published. */
export const MIGRATIONS: readonly Migration[] = [
  migration(1, 'tables', [
    'CREATE TABLE IF NOT EXISTS _agent_store_migration (id INT PRIMARY KEY, name TEXT NOT NULL)',
    META.postgres.ddl,
    LOG.postgres.ddl,
  ]),
  migration(2, 'cursors of consumers', [CURSOR.postgres.ddl]),
]

/**
 * The log in hash partitions by stream, for a new database: run it before {@link MIGRATIONS}.
 * On a log that is not partitioned, or into another number of partitions, the server refuses.
 * @throws RangeError when `partitions` is no integer from 2 to 1024.
 */
export function partitionSql({ partitions }: { readonly partitions: number }): string[] {
  if (!Number.isInteger(partitions) || partitions < 2 || partitions > 1024) {
    throw new RangeError(`partitions must be an integer from 2 to 1024, got ${String(partitions)}`)
  }
  return [
    `${LOG.postgres.ddl} PARTITION BY HASH (stream)`,
    ...Array.from(
      { length: partitions },
      (_, i) =>
        `CREATE TABLE IF NOT EXISTS _agent_store_log_${i} PARTITION OF _agent_store_log ` +
        `FOR VALUES WITH (MODULUS ${partitions}, REMAINDER ${i})`,
    ),
  ]
}

/**
 * Roles and the least privileges with which the backend works, on tables that exist. A role
 * that is missing is created without login; one that is there is left as it is. Run it as a
 * superuser, or as owner of the schema and the tables with CREATEROLE.
 * @throws TypeError, RangeError when a name cannot be one.
 */
export function rolesSql({ owner, writer, reader, schema }: Roles): string[] {
  const [o, w, r, s] = [owner, writer, reader, schema].map(quoteIdentifier)
  const tables = ['log', 'meta', 'cursor', 'migration'].map((t) => `${s}._agent_store_${t}`)
  const [log, meta, cursor] = tables
  const everybodyElse = owner === writer || owner === reader ? 'PUBLIC' : `PUBLIC, ${w}, ${r}`
  return [
    ...[owner, writer, reader].map(createRoleSql),
    becomeMemberSql(owner),
    `GRANT USAGE, CREATE ON SCHEMA ${s} TO ${o}`,
    ...tables.map((table) => `ALTER TABLE ${table} OWNER TO ${o}`),
    `REVOKE ALL ON ${tables.join(', ')} FROM ${everybodyElse}`,
    `REVOKE CREATE ON SCHEMA ${s} FROM ${everybodyElse}`,
    `GRANT USAGE ON SCHEMA ${s} TO ${w}, ${r}`,
    `GRANT SELECT ON ${tables.join(', ')} TO ${w}, ${r}`,
    `GRANT INSERT ON ${log} TO ${w}`,
    `GRANT INSERT, UPDATE ON ${meta} TO ${w}`,
    `GRANT INSERT, UPDATE, DELETE ON ${cursor} TO ${w}`,
  ]
}

/** What a refused UPDATE, DELETE or TRUNCATE, or a counter moved back, is told apart by. */
export const APPEND_ONLY_SQLSTATE = 'SA001'

/**
 * Triggers that refuse to edit or remove entries and to move a counter back, whoever asks,
 * and CHECK constraints for what the tables' types leave open. The owner can drop them, but
 * not by accident. Run it as the owner or a superuser.
 */
export function appendOnlySql(): string[] {
  const refuse = `
BEGIN
  RAISE EXCEPTION 'agent-store: % of % refused: %', TG_OP, TG_RELID::pg_catalog.regclass,
    CASE WHEN TG_ARGV[0] = 'counter' THEN 'a counter only moves forward' ELSE 'the log is append-only' END
    USING ERRCODE = '${APPEND_ONLY_SQLSTATE}',
      HINT = 'Whoever must remove data as the owner disables the trigger ' || TG_NAME || ' first.';
END`
  const truncatePartition = `
DECLARE part pg_catalog.regclass;
BEGIN
  FOR part IN SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = '_agent_store_log'::regclass
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = inhrelid AND tgname = '_agent_store_truncate')
  LOOP
    EXECUTE format('CREATE TRIGGER _agent_store_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT
      EXECUTE FUNCTION _agent_store_refuse()', part);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER _agent_store_truncate', part);
  END LOOP;
END`
  return [
    `CREATE OR REPLACE FUNCTION _agent_store_refuse() RETURNS trigger LANGUAGE plpgsql AS ${dollarQuote(refuse)}`,
    giveToOwnerSql('FUNCTION _agent_store_refuse()'),
    // A statement that names a partition fires only triggers on rows, and its own.
    triggerSql('_agent_store_log', 'append_only', 'UPDATE OR DELETE OR TRUNCATE', 'STATEMENT'),
    triggerSql('_agent_store_log', 'append_only_row', 'UPDATE OR DELETE', 'ROW'),
    `DO ${dollarQuote(truncatePartition)}`,
    triggerSql('_agent_store_meta', 'keep', 'DELETE OR TRUNCATE', 'STATEMENT', "'counter'"),
    triggerSql(
      '_agent_store_meta',
      'forward',
      'UPDATE',
      'ROW WHEN (NEW.ival < OLD.ival OR NEW.key <> OLD.key)',
      "'counter'",
    ),
    ...checkSql('_agent_store_log', 'seq', 'seq >= 1'),
    ...checkSql('_agent_store_log', 'content_hash', 'octet_length(content_hash) = 32'),
    ...checkSql(
      '_agent_store_log',
      'prev_hash',
      '(prev_hash IS NULL) = (seq = 1) AND octet_length(prev_hash) = 32',
    ),
    ...checkSql('_agent_store_meta', 'ival', 'ival >= 0'),
  ]
}

/**
 * Row-level security: whoever may SELECT reads every entry, but an entry is inserted only
 * under a writer's name that `_agent_store_writer` gives to the current role. Until that
 * table has rows, nobody appends. Run it as the owner or a superuser.
 *
 * A table, and not `writer = current_user`: a name in a log is for ever, while roles are
 * replaced; names may be longer than the 63 bytes of a role; a service may hold several.
 * FORCE, because otherwise the policy passes over the owner.
 */
export function rowLevelSecuritySql(): string[] {
  return [
    'CREATE TABLE IF NOT EXISTS _agent_store_writer (' +
      'role_name TEXT COLLATE "C", writer TEXT COLLATE "C", PRIMARY KEY (role_name, writer))',
    giveToOwnerSql('TABLE _agent_store_writer'),
    // The policy reads it with the rights of whoever inserts.
    'GRANT SELECT ON _agent_store_writer TO PUBLIC',
    policySql('_agent_store_read', 'FOR SELECT USING (true)'),
    policySql(
      '_agent_store_append',
      'FOR INSERT WITH CHECK (EXISTS (SELECT FROM _agent_store_writer AS w ' +
        'WHERE w.role_name = current_user AND w.writer = _agent_store_log.writer))',
    ),
    'ALTER TABLE _agent_store_log ENABLE ROW LEVEL SECURITY',
    'ALTER TABLE _agent_store_log FORCE ROW LEVEL SECURITY',
  ]
}

/**
 * A name as an SQL identifier.
 * @throws TypeError for what is no storable text; RangeError for an empty name, or one beyond
 * 63 bytes, which the server would cut.
 */
export function quoteIdentifier(name: string): string {
  if (typeof name !== 'string' || name.includes('\0') || !name.isWellFormed()) {
    throw new TypeError(`an SQL name must be text without NUL, got ${JSON.stringify(name)}`)
  }
  if (name === '' || Buffer.byteLength(name) > 63) {
    throw new RangeError(`an SQL name has 1 to 63 bytes, got ${JSON.stringify(name)}`)
  }
  return `"${name.replaceAll('"', '""')}"`
}

function migration(id: number, name: string, sql: readonly string[]): Migration {
  const note = `INSERT INTO _agent_store_migration VALUES (${id}, ${quoteLiteral(name)}) ON CONFLICT DO NOTHING`
  return { id, name, sql: [...sql, note] }
}

/** Whether the server reads backslashes as escapes or not, the result is the same. */
function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? ` E${quoted}` : quoted
}

/** A body whose names may hold anything, even a dollar quote. */
function dollarQuote(body: string): string {
  let tag = '$agent_store$'
  for (let i = 1; body.includes(tag); i++) tag = `$agent_store_${i}$`
  return tag + body + tag
}

function createRoleSql(role: string): string {
  return doUnlessSql(
    `SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(role)}`,
    `CREATE ROLE ${quoteIdentifier(role)} NOLOGIN`,
  )
}

/** ALTER … OWNER TO asks for it. Since PostgreSQL 16 a creator is a member that may not SET ROLE. */
function becomeMemberSql(role: string): string {
  const mode = `CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END`
  return doUnlessSql(
    `SELECT WHERE pg_catalog.pg_has_role(${quoteLiteral(role)}, ${mode})`,
    `GRANT ${quoteIdentifier(role)} TO CURRENT_USER`,
  )
}

/** A superuser may run the list for the log's owner. */
function giveToOwnerSql(thing: string): string {
  return `DO ${dollarQuote(`
BEGIN
  EXECUTE format('ALTER ${thing} OWNER TO %I', (SELECT pg_catalog.pg_get_userbyid(relowner)
    FROM pg_catalog.pg_class WHERE oid = '_agent_store_log'::regclass));
END`)}`
}

/** ENABLE ALWAYS: also where a replica applies changes. */
function triggerSql(
  table: string,
  name: string,
  events: string,
  each: string,
  argument = '',
): string {
  return doUnlessSql(
    `SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '${table}'::regclass AND tgname = '_agent_store_${name}'`,
    `CREATE TRIGGER _agent_store_${name} BEFORE ${events} ON ${table} FOR EACH ${each}
      EXECUTE FUNCTION _agent_store_refuse(${argument})`,
    `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER _agent_store_${name}`,
  )
}

/** NOT VALID first, so that rows which are there are read under a lock that lets others write. */
function checkSql(table: string, name: string, condition: string): string[] {
  const constraint = `_agent_store_${name}_check`
  return [
    doUnlessSql(
      `SELECT FROM pg_catalog.pg_constraint WHERE conrelid = '${table}'::regclass AND conname = '${constraint}'`,
      `ALTER TABLE ${table} ADD CONSTRAINT ${constraint} CHECK (${condition}) NOT VALID`,
    ),
    `ALTER TABLE ${table} VALIDATE CONSTRAINT ${constraint}`,
  ]
}

function policySql(name: string, rule: string): string {
  return doUnlessSql(
    `SELECT FROM pg_catalog.pg_policy WHERE polrelid = '_agent_store_log'::regclass AND polname = '${name}'`,
    `CREATE POLICY ${name} ON _agent_store_log ${rule}`,
  )
}

function doUnlessSql(found: string, ...statements: string[]): string {
  return `DO ${dollarQuote(`
BEGIN
  IF NOT EXISTS (${found}) THEN
    ${statements.join(';\n    ')};
  END IF;
END`)}`
}
