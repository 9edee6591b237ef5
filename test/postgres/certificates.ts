/**
 * Certificates of an authority that only one test knows, made by the `openssl` command.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { type Account, giveTo } from './installation.ts'

interface KeyPair {
  readonly certificate: string
  readonly key: string
}

/** Paths of PEM files, for a server at `localhost` and 127.0.0.1, and a way to more of them. */
export interface Certificates extends KeyPair {
  /** The certificate of the authority: what a client trusts. */
  readonly authority: string
  /** One for the role `name`, for the method `cert` of `pg_hba.conf`. */
  client(name: string): KeyPair
  /** One more for the server's names, in files called `file`. */
  other(file: string): KeyPair
}

/** A reason to skip a test that needs certificates, or `false`. */
export function withoutOpenssl(): string | false {
  return spawnSync('openssl', ['version']).status !== 0 && 'the openssl command is not installed'
}

/** Make an authority and a server's certificate in `folder`; the server runs as `account`. */
export function makeCertificates(folder: string, account: Account): Certificates {
  const at = (name: string) => join(folder, name)
  const create = (name: string, subject: string, ...args: string[]) => {
    const [certificate, key] = [at(`${name}.crt`), at(`${name}.key`)]
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
    const files = ['-nodes', '-days', '2', '-subj', `/CN=${subject}`, '-keyout', key]
    const { status, error, stderr } = spawnSync(
      'openssl',
      [...request, ...files, '-out', certificate, ...args],
      { encoding: 'utf8' },
    )
    if (status !== 0) throw new Error(`openssl: ${error?.message ?? stderr}`)
    fs.chmodSync(key, 0o600)
    giveTo(account, key)
    return { certificate, key }
  }
  const { certificate: authority, key: signer } = create('authority', 'agent-store test')
  const signed = (name: string, subject: string, ...args: string[]) =>
    create(name, subject, '-CA', authority, '-CAkey', signer, ...args)
  const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE']
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  return {
    authority,
    ...signed('server', 'localhost', ...leaf, ...names),
    client: (name) => signed(`client-${name}`, name, ...leaf),
    other: (file) => signed(file, 'localhost', ...leaf, ...names),
  }
}
