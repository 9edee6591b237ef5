/**
 * The settings of a Postgres connection, settled once from what a user gives: options, a
 * connection string and the environment, read as libpq reads them.
 *
 * An option wins over the connection string, that over the environment, and that over the
 * default; what is empty counts as not said. There are two ways to be on the wire, in the
 * clear and fully verified, and nothing falls back from one to the other. No error, and
 * nothing that prints settings, shows a password or a key.
 *
 * @module
 */
import { PolicyError } from '../../index.ts'
import { filesOf, systemUser } from './home.ts'
import {
  DEFAULT_FOLDERS,
  isLocal,
  type Place,
  placesOf,
  type TcpPlace,
  type UnixPlace,
} from './hosts.ts'
import { type Said, shown, type Words, wordsOfEnvironment } from './keywords.ts'
import { passwordFromFile } from './passfile.ts'
import {
  type ChannelBinding,
  checkOptions,
  checkSecret,
  checkText,
  listOf,
  type PgOptions,
  type TlsMode,
} from './pg-options.ts'
import { startupSettings } from './startup.ts'
import { type TlsMaterial, tlsMaterial } from './tls-material.ts'
import { portOf, wordsOfConnectionString } from './url.ts'

export type { PgOptions } from './pg-options.ts'

/** How one host is spoken to. `serverName` is what its certificate must name. */
type Tls =
  | { readonly mode: 'disable' }
  | ({ readonly mode: 'verify-full'; readonly serverName: string } & TlsMaterial)

/** One server, and how to speak to it. */
export type Host = (TcpPlace & { readonly tls: Tls }) | (UnixPlace & { readonly tls: Tls })

/** Settled and frozen: nothing is left to be looked up but the password. */
export interface Settings {
  /** At least one, to be tried in order. */
  readonly hosts: readonly Host[]
  readonly user: string
  readonly database: string
  /**
   * The password for a host, looked up anew at each call: the user's function or the password
   * file. `undefined` when there is none.
   * @throws PolicyError when the user's function gives no usable text; what it throws itself
   * passes through.
   */
  readonly password: (host: Host) => string | undefined
  readonly channelBinding: ChannelBinding
  readonly applicationName: string
  readonly searchPath: string | undefined
  /** Further settings for the startup packet, by lower-case name. */
  readonly startup: Readonly<Record<string, string>>
  readonly targetSessionAttrs: 'any' | 'read-write'
  readonly connectTimeoutMs: number
  readonly deadlineMs: number
  readonly pooler: 'none' | 'transaction'
  readonly reconnect: boolean
  readonly notify: boolean
}

const TLS_MODES: readonly TlsMode[] = ['disable', 'verify-full']
const WHY_TWO =
  '; the modes between them trust whoever answers, or fall back to the clear without a word. ' +
  'Take verify-full, with sslrootcert (ca) where the server has a root of its own'
const CHANNEL_BINDINGS: readonly ChannelBinding[] = ['disable', 'prefer', 'require']
const SESSION_ATTRS = ['any', 'read-write'] as const
const MAX_SECONDS = 2_147_483
const NO_MATERIAL: TlsMaterial = { ca: undefined, cert: undefined, key: undefined }

/**
 * Settle what a user gives. Files it names (roots, certificate, key) are read now.
 * @param input Options, or a connection string alone.
 * @param env Where the `PG…` variables and `HOME` are taken from; the process's own by default.
 * @throws PolicyError for what is unknown, malformed, contradictory, or not on offer here.
 */
export function settle(
  input: string | URL | PgOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Settings {
  const options = typeof input === 'string' || input instanceof URL ? { url: input } : input
  checkOptions(options)
  const words = wordsOfEnvironment(env)
  for (const [word, said] of options.url ? wordsOfConnectionString(String(options.url)) : []) {
    words.set(word, said)
  }
  const { passfile, tlsFolder } = filesOf(env)
  const user = options.user || words.get('user')?.value || systemUser()
  const database = options.database || words.get('dbname')?.value || user
  const channelBinding =
    options.channelBinding ?? oneOf(words.get('channel_binding'), CHANNEL_BINDINGS) ?? 'prefer'
  const { search_path, application_name, ...startup } = startupOf(words.get('options'))
  const applicationName =
    options.applicationName || words.get('application_name')?.value || application_name
  const settings: Settings = {
    hosts: hostsOf(options, words, channelBinding, tlsFolder),
    user,
    database,
    password: passwordOf(options, words, { user, database }, passfile),
    channelBinding,
    applicationName: applicationName || 'agent-store',
    searchPath: options.searchPath || search_path,
    startup: Object.freeze(startup),
    targetSessionAttrs:
      options.targetSessionAttrs ??
      oneOf(words.get('target_session_attrs'), SESSION_ATTRS) ??
      'read-write',
    connectTimeoutMs:
      options.connectTimeoutMs ?? milliseconds(words.get('connect_timeout')) ?? 10_000,
    deadlineMs: options.deadlineMs ?? 30_000,
    pooler: options.pooler ?? 'none',
    reconnect: options.reconnect ?? false,
    notify: options.notify ?? false,
  }
  checkText('user', user)
  checkText('database', database)
  checkText('applicationName', settings.applicationName)
  if (settings.searchPath !== undefined) checkText('searchPath', settings.searchPath)
  return Object.freeze(settings)
}

/** `user@host:port/database`, for a message. */
export function describe(settings: Pick<Settings, 'user' | 'database'>, host: Place): string {
  const name = host.kind === 'unix' ? host.folder : host.host
  const place = name.includes(':') ? `[${name}]` : name
  return `${settings.user}@${place}:${host.port}/${settings.database}`
}

function hostsOf(
  options: PgOptions,
  words: Words,
  binding: ChannelBinding,
  folder: string,
): readonly Host[] {
  const places = placesOf(
    typeof options.host === 'string'
      ? split(options.host || words.get('host')?.value)
      : (options.host ?? split(words.get('host')?.value)),
    split(words.get('hostaddr')?.value),
    options.port === undefined ? portsOf(words.get('port')) : listOf(options.port),
  )
  const said = options.tls ?? oneOf(words.get('sslmode'), TLS_MODES, WHY_TWO)
  const isVerified = (place: Place): place is TcpPlace =>
    place.kind === 'tcp' && (said ?? (isLocal(place) ? 'disable' : 'verify-full')) === 'verify-full'
  if (binding === 'require' && !places.every(isVerified)) {
    throw new PolicyError(
      "channel binding 'require' needs TLS to every host: tls 'verify-full' (sslmode=verify-full), and no Unix socket",
    )
  }
  const material = places.some(isVerified) ? materialOf(options, words, folder) : NO_MATERIAL
  return Object.freeze(
    places.map((place): Host => {
      const tls: Tls = isVerified(place)
        ? { mode: 'verify-full', serverName: place.host, ...material }
        : { mode: 'disable' }
      return Object.freeze({ ...place, tls: Object.freeze(tls) })
    }),
  )
}

function materialOf({ ca, cert, key }: PgOptions, words: Words, folder: string): TlsMaterial {
  const [sslrootcert, sslcert, sslkey] = [
    words.get('sslrootcert'),
    words.get('sslcert'),
    words.get('sslkey'),
  ]
  return tlsMaterial({ ca, cert, key, sslrootcert, sslcert, sslkey }, folder)
}

function passwordOf(
  options: PgOptions,
  words: Words,
  login: Pick<Settings, 'user' | 'database'>,
  defaultFile: string,
): (host: Host) => string | undefined {
  const given = options.password || words.get('password')?.value
  if (given !== undefined) {
    return () => {
      const password: unknown = typeof given === 'function' ? given() : given
      checkSecret('what password() gives', password)
      return password === '' ? undefined : password
    }
  }
  const file = words.get('passfile')?.value ?? defaultFile
  return (host) => {
    const isDefault = host.kind === 'unix' && DEFAULT_FOLDERS.includes(host.folder)
    const name = host.kind === 'tcp' ? host.host : isDefault ? 'localhost' : host.folder
    return passwordFromFile(file, { ...login, host: name, port: host.port })
  }
}

function split(list: string | undefined): readonly string[] {
  return list ? list.split(',') : []
}

function portsOf(said: Said | undefined): readonly (number | undefined)[] {
  return split(said?.value).map((text) => {
    const port = portOf(text)
    if (port !== undefined || text === '') return port
    throw new PolicyError(`${said?.from} must be from 1 to 65535, got ${shown(text)}`)
  })
}

function milliseconds(said: Said | undefined): number | undefined {
  if (said === undefined) return undefined
  const seconds = /^[0-9]{1,7}$/.test(said.value) ? Number(said.value) : 0
  if (seconds >= 1 && seconds <= MAX_SECONDS) return seconds * 1000
  throw new PolicyError(
    `${said.from} must be whole seconds from 1 to ${MAX_SECONDS}, got ${shown(said.value)}; ` +
      'nothing here waits without an end',
  )
}

function startupOf(said: Said | undefined): Record<string, string> {
  return said === undefined ? {} : Object.fromEntries(startupSettings(said.value, said.from))
}

function oneOf<T extends string>(
  said: Said | undefined,
  known: readonly T[],
  why = '',
): T | undefined {
  const value = known.find((one) => one === said?.value)
  if (said === undefined || value !== undefined) return value
  const names = known.map((one) => `'${one}'`).join(' or ')
  throw new PolicyError(`${said.from} must be ${names}, got ${shown(said.value)}${why}`)
}
