/**
 * What a TLS connection trusts and shows: PEM text given, or in the files that libpq knows.
 *
 * @module
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PolicyError } from '../../index.ts'
import { type Said, shown } from './keywords.ts'

/** PEM texts. The key stays in a function, so that nothing prints it by chance. */
export interface TlsMaterial {
  /** Roots to trust; `undefined` means the runtime's own. */
  readonly ca: string | undefined
  /** The client's certificate chain. */
  readonly cert: string | undefined
  /** The client's private key. */
  readonly key: (() => string) | undefined
}

/** What was said of it: PEM by an option, else a file by a word. */
export interface TlsSaid {
  readonly ca: string | Uint8Array | undefined
  readonly cert: string | Uint8Array | undefined
  readonly key: string | Uint8Array | undefined
  readonly sslrootcert: Said | undefined
  readonly sslcert: Said | undefined
  readonly sslkey: Said | undefined
}

/**
 * Settle the material; where nothing is said, from `root.crt`, `postgresql.crt` and
 * `postgresql.key` in `folder`, where they are there.
 * @throws PolicyError for a file that cannot be read or is not PEM, a certificate without its
 * key or the other way round, or a key file that others may read.
 */
export function tlsMaterial(said: TlsSaid, folder: string): TlsMaterial {
  const ca = pem('ca', said.ca) ?? fileText(said.sslrootcert ?? inFolder(folder, 'root.crt'))
  const given = {
    cert: pem('cert', said.cert) ?? fileText(said.sslcert),
    key: pem('key', said.key) ?? fileText(said.sslkey, checkKeyFile),
  }
  if ((given.cert === undefined) !== (given.key === undefined)) {
    const missing = given.cert === undefined ? 'cert (sslcert)' : 'key (sslkey)'
    throw new PolicyError(`a client certificate needs both of cert and key; ${missing} is missing`)
  }
  const { cert, key } = given.cert === undefined ? homeCertificate(folder) : given
  return {
    ca: ca === 'system' ? undefined : ca,
    cert,
    key: key === undefined ? undefined : () => key,
  }
}

function homeCertificate(folder: string): { cert: string | undefined; key: string | undefined } {
  const cert = inFolder(folder, 'postgresql.crt')
  const key = inFolder(folder, 'postgresql.key')
  return cert === undefined || key === undefined
    ? { cert: undefined, key: undefined }
    : { cert: fileText(cert), key: fileText(key, checkKeyFile) }
}

function inFolder(folder: string, name: string): Said | undefined {
  const value = join(folder, name)
  return existsSync(value) ? { value, from: name } : undefined
}

function pem(option: string, value: string | Uint8Array | undefined): string | undefined {
  if (value === undefined || value.length === 0) return undefined
  const text = typeof value === 'string' ? value : new TextDecoder().decode(value)
  if (text.includes('-----BEGIN ') || (option === 'ca' && text === 'system')) return text
  const orSystem = option === 'ca' ? ", or 'system' for the runtime's own roots" : ''
  throw new PolicyError(
    `${option} must be PEM text (-----BEGIN …)${orSystem}; pass what the file holds, not its name`,
  )
}

function fileText(said: Said | undefined, check?: (said: Said) => void): string | undefined {
  if (said === undefined) return undefined
  const { value, from } = said
  if (value === 'system' && /sslrootcert/i.test(from)) return value
  try {
    check?.(said)
    const text = readFileSync(value, 'utf8')
    if (text.includes('-----BEGIN ')) return text
  } catch (cause) {
    if (cause instanceof PolicyError) throw cause
    throw new PolicyError(`${from}: the file ${shown(value)} cannot be read`, { cause })
  }
  throw new PolicyError(`${from}: the file ${shown(value)} holds no PEM text`)
}

/** As libpq: the owner alone, but a key of root's may be read by its group. */
function checkKeyFile({ value, from }: Said): void {
  const { mode, uid } = statSync(value)
  const others = uid === 0 ? 0o027 : 0o077
  if (process.platform === 'win32' || (mode & others) === 0) return
  throw new PolicyError(
    `${from}: the private key file ${shown(value)} is open to its group or others; ` +
      'chmod it to 0600 (0640 where root owns it) or less',
  )
}
