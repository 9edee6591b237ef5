/**
 * The user's key file, the same that the Rust programs read and write: PKCS#8 version 2 in PEM,
 * readable by its owner alone, never overwritten. Whoever has the file is the user.
 *
 * @module
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { MeshError } from '../errors.ts'
import type { KeyPair } from './keys.ts'
import { fromDer, toDer } from './pkcs8.ts'

/**
 * Where the user's key lies unless told otherwise: `$AMESH_HOME/user.key`, else
 * `~/.agent-mesh/user.key`.
 */
export function defaultKeyPath(environment: NodeJS.ProcessEnv = process.env): string {
  const home = environment.AMESH_HOME
  return home === undefined || home === ''
    ? join(homedir() || '.', '.agent-mesh', 'user.key')
    : join(home, 'user.key')
}

/**
 * Read a key file.
 * @throws MeshError MESH_KEY_FILE when it cannot be read.
 * @throws MeshError MESH_INVALID_KEY when it holds no ed25519 key, or two halves that do not match.
 */
export function readKeyFile(path: string): KeyPair {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const reason =
      codeOf(cause) === 'ENOENT'
        ? 'there is none; `agent-store mesh keygen` makes one'
        : String(codeOf(cause))
    throw new MeshError('MESH_KEY_FILE', `cannot read the key file ${path}: ${reason}`, { cause })
  }
  return fromPem(text)
}

/**
 * Write a new key file, and the folders above it, with mode 0600 from the start.
 * @throws MeshError MESH_KEY_FILE when it cannot be written, or is there already: a key is never overwritten.
 */
export function writeKeyFile(path: string, key: KeyPair): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const file = openSync(path, 'wx', 0o600)
    try {
      writeSync(file, toPem(key))
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  } catch (cause) {
    const reason =
      codeOf(cause) === 'EEXIST' ? 'there is one already, which is kept' : String(codeOf(cause))
    throw new MeshError('MESH_KEY_FILE', `cannot write a new key file ${path}: ${reason}`, {
      cause,
    })
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error
}

/** PEM (RFC 7468) of the key with its public half. */
export function toPem(key: KeyPair): string {
  const lines = Buffer.from(toDer(key))
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')
  return ['-----BEGIN PRIVATE KEY-----', lines, '-----END PRIVATE KEY-----', ''].join('\n')
}

const PEM =
  /(?:^|\n)-----BEGIN PRIVATE KEY-----\r?\n((?:[A-Za-z0-9+/]{64}\r?\n)*[A-Za-z0-9+/]{1,64}={0,2}\r?\n)-----END PRIVATE KEY-----(?:\r?\n)?$/

/** Read PEM. Text may stand before it, lines may end in CR LF. @throws MeshError MESH_INVALID_KEY. */
export function fromPem(pem: string): KeyPair {
  const body = PEM.exec(pem)?.[1]
  if (body === undefined) throw new MeshError('MESH_INVALID_KEY', 'no PEM of a private key')
  return fromDer(new Uint8Array(Buffer.from(body, 'base64')))
}
