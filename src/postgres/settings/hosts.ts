/**
 * Where servers listen: names, addresses, ports and Unix sockets, as libpq pairs them.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import { PolicyError } from '../../index.ts'
import { shown } from './keywords.ts'

/** A host to reach over TCP. */
export interface TcpPlace {
  readonly kind: 'tcp'
  /** The name or address as it was given; what a certificate must name. */
  readonly host: string
  /** What to connect to: `host`, unless a `hostaddr` says where that is. */
  readonly address: string
  readonly port: number
}

/** A socket in the file system, or in the abstract namespace of Linux. */
export interface UnixPlace {
  readonly kind: 'unix'
  /** The folder as it was given: `/var/run/postgresql`, or `@name`. */
  readonly folder: string
  /** The socket itself, as `net.connect` takes it: an abstract one starts with a NUL. */
  readonly path: string
  readonly port: number
}

/** Where one server listens. */
export type Place = TcpPlace | UnixPlace

/** Where distributions put the socket: Debian's and Red Hat's folder, then PostgreSQL's own. */
export const DEFAULT_FOLDERS: readonly string[] = ['/var/run/postgresql', '/tmp']

const DEFAULT_PORT = 5432
/** What the smallest `sockaddr_un` of the supported systems holds, without its last NUL. */
const MAX_PATH_BYTES = 103

/**
 * The servers to try, in order. One port stands for all hosts; an empty host is the default.
 * @param ports `undefined` in the list is the default port.
 * @throws PolicyError for lists of different lengths, or a host that is none.
 */
export function placesOf(
  hosts: readonly string[],
  addresses: readonly string[],
  ports: readonly (number | undefined)[],
): readonly Place[] {
  const count = Math.max(hosts.length, addresses.length, 1)
  if (hosts.length > 0 && addresses.length > 0 && hosts.length !== addresses.length) {
    throw new PolicyError(`${hosts.length} hosts cannot be matched to ${addresses.length} hostaddr`)
  }
  if (ports.length > 1 && ports.length !== count) {
    throw new PolicyError(`${ports.length} ports cannot be matched to ${count} hosts`)
  }
  return Array.from({ length: count }, (_, n) => {
    const port = (ports.length === 1 ? ports[0] : ports[n]) ?? DEFAULT_PORT
    return placeOf(hosts[n] ?? '', addresses[n] ?? '', port)
  })
}

/** Whether what is sent there stays within this machine. */
export function isLocal(place: Place): boolean {
  if (place.kind === 'unix') return true
  const address = place.address.toLowerCase()
  return (
    address === 'localhost' ||
    address === '::1' ||
    (isIP(address) === 4 && address.startsWith('127.'))
  )
}

function placeOf(host: string, address: string, port: number): Place {
  const isSocket = /^[/@]/.test(host)
  if (address !== '') {
    if (isIP(address) === 0) {
      throw new PolicyError(`hostaddr must be an IP address, got ${shown(address)}`)
    }
    const name = isSocket || host === '' ? address : checkedName(host)
    return { kind: 'tcp', host: name, address, port }
  }
  if (isSocket) return socketIn(host, port)
  if (host === '') return defaultPlace(port)
  return { kind: 'tcp', host: checkedName(host), address: host, port }
}

function defaultPlace(port: number): Place {
  if (process.platform !== 'win32') {
    for (const folder of DEFAULT_FOLDERS) {
      const place = socketIn(folder, port)
      if (existsSync(place.path)) return place
    }
  }
  return { kind: 'tcp', host: 'localhost', address: 'localhost', port }
}

function socketIn(folder: string, port: number): UnixPlace {
  const path = `${folder}/.s.PGSQL.${port}`.replace(/^@/, '\0')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES || path.slice(1).includes('\0')) {
    throw new PolicyError(
      `the Unix socket folder ${shown(folder)} is too long; with the name of the socket it ` +
        `must have at most ${MAX_PATH_BYTES} bytes, and no NUL`,
    )
  }
  return { kind: 'unix', folder, path, port }
}

function checkedName(host: string): string {
  if (isIP(host) === 0 && !/^[^\s,:/?#@\\[\]%\p{Cc}]+$/u.test(host)) {
    throw new PolicyError(
      `host must be a name, an IP address (IPv6 without brackets), a socket folder that ` +
        `starts with '/', or '@' and an abstract name; got ${shown(host)}`,
    )
  }
  return host
}
