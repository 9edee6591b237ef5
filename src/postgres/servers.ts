/**
 * Choosing a server from the list, and refusing the wrong one.
 *
 * A server can be up and wrong: a standby, which takes no writes; a former primary that came
 * back after a failover; a restored copy. Which cluster a session was with, and on which
 * timeline, is remembered, and a server of another cluster or an older timeline is refused.
 *
 * @module
 */
import { ConnectionError, DeadlineError, type Value } from '../index.ts'
import { PgConnection } from './connection.ts'
import { crypto } from './crypto.ts'
import type { SessionSettings } from './handshake.ts'
import type { Listener } from './protocol/wire.ts'
import type { PumpTarget } from './pump/commission.ts'
import { SocketPump } from './pump/pump.ts'
import { describe, type Host, type Settings } from './settings/options.ts'

/** What tells a cluster, and its history, from another. */
export interface Identity {
  /** The cluster's own number; `undefined` where the role may not ask. */
  readonly system: string | undefined
  /** Goes up with every promotion. */
  readonly timeline: number
}

/** A session with a server that was found to be the right one. */
export interface Session {
  readonly connection: PgConnection
  /** For messages: `user@host:port/database`. */
  readonly name: string
  /** Whether the server may be another one after each transaction. */
  readonly isPooled: boolean
  /** `undefined` when any server would do. */
  readonly identity: Identity | undefined
}

// One round trip. A standby has no current position to be asked for.
const WHO = `SELECT pg_is_in_recovery()::text, current_setting('default_transaction_read_only'),
  CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END,
  CASE WHEN has_function_privilege('pg_control_system()', 'execute')
    THEN (SELECT system_identifier::text FROM pg_control_system()) END`

/**
 * Connect to the first host of the list that will do.
 * @param known What was found at the last session.
 * @throws ConnectionError that says for each host why not; DeadlineError when no host answered
 * in time.
 */
export function connectToAny(
  settings: Settings,
  known: Identity | undefined,
  listener: Listener,
): Session {
  crypto() // Loaded here, while the first connection's worker starts.
  const refusals: { host: Host; error: ConnectionError | DeadlineError }[] = []
  for (const host of settings.hosts) {
    try {
      return connectTo(host, settings, known, listener)
    } catch (error) {
      if (!(error instanceof ConnectionError || error instanceof DeadlineError)) throw error
      refusals.push({ host, error })
    }
  }
  const reasons = refusals.map(({ host, error }) => `${describe(settings, host)}: ${error.message}`)
  const [first] = refusals
  if (refusals.every(({ error }) => error instanceof DeadlineError)) {
    throw new DeadlineError(`cannot connect to ${reasons.join('; ')}`, { cause: first?.error })
  }
  const errors = refusals.map(({ error }) => error)
  throw new ConnectionError(`cannot connect to ${reasons.join('; ')}`, {
    cause: errors.length === 1 ? errors[0] : new AggregateError(errors),
    driverCode: errors.find((error) => error instanceof ConnectionError)?.driverCode,
  })
}

function connectTo(
  host: Host,
  settings: Settings,
  known: Identity | undefined,
  listener: Listener,
): Session {
  const pump = SocketPump.connect(targetOf(host), settings.connectTimeoutMs)
  const connection = PgConnection.open(pump, sessionOf(host, settings), listener)
  try {
    checkSession(connection)
    const name = describe(settings, host)
    const isPooled = settings.pooler === 'transaction'
    if (settings.targetSessionAttrs === 'any')
      return { connection, name, isPooled, identity: known }
    const identity = identify(connection)
    checkIdentity(identity, known)
    return { connection, name, isPooled, identity }
  } catch (error) {
    connection.close()
    throw error
  }
}

function targetOf(host: Host): PumpTarget {
  if (host.kind === 'unix') return { path: host.path }
  const { address, port, tls } = host
  if (tls.mode === 'disable') return { host: address, port }
  const { ca, cert, key, serverName } = tls
  return { host: address, port, tls: { ca, cert, key: key?.(), serverName } }
}

function sessionOf(host: Host, settings: Settings): SessionSettings {
  const { user, database, searchPath, startup, applicationName } = settings
  return {
    credentials: {
      user,
      password: () => settings.password(host),
      isPrivate: host.kind === 'unix' || host.tls.mode === 'verify-full',
      channelBinding: settings.channelBinding,
    },
    database,
    parameters: {
      application_name: applicationName,
      ...(searchPath === undefined ? {} : { search_path: searchPath }),
      ...startup,
    },
    unnamed: settings.pooler === 'transaction',
    connectTimeoutMs: settings.connectTimeoutMs,
    deadlineMs: settings.deadlineMs,
  }
}

/** @throws ConnectionError for settings under which text or SQL would not mean what they say. */
function checkSession(connection: PgConnection): void {
  const encoding = connection.parameter('server_encoding')
  if (encoding !== 'UTF8') {
    throw new ConnectionError(
      `the database has encoding ${JSON.stringify(encoding)}, and the store needs UTF8; create one WITH ENCODING 'UTF8' TEMPLATE template0`,
    )
  }
  if (connection.parameter('standard_conforming_strings') === 'off') {
    throw new ConnectionError('standard_conforming_strings must be on for this role and database')
  }
}

function identify(connection: PgConnection): Identity {
  const [row = []] = connection.control(WHO)
  const [inRecovery, readOnly, walFile, system]: readonly Value[] = row
  if (inRecovery !== 'false') throw new ConnectionError('it is a standby, which takes no writes')
  if (readOnly === 'on') throw new ConnectionError('its sessions are read-only by default')
  return {
    system: typeof system === 'string' ? system : undefined,
    timeline: Number.parseInt(String(walFile).slice(0, 8), 16),
  }
}

function checkIdentity(found: Identity, known: Identity | undefined): void {
  if (known === undefined) return
  if (known.system !== undefined && found.system !== undefined && found.system !== known.system) {
    throw new ConnectionError(
      `it is another cluster: system identifier ${found.system}, before it was ${known.system}`,
    )
  }
  if (found.timeline < known.timeline) {
    throw new ConnectionError(
      `it is on timeline ${found.timeline}, and ${known.timeline} was seen before: a former primary that came back`,
    )
  }
}
