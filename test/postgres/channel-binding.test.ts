/**
 * The channel binding: certificates of every kind that a server may show, and bytes of none.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import fc from 'fast-check'
import { tlsServerEndPoint } from '../../src/postgres/auth/channel-binding.ts'
import { temporaryFolder } from '../support.ts'

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl command here'

/** A self-signed certificate, in DER. */
function certificate(t: TestContext, ...options: readonly string[]): Uint8Array {
  const folder = temporaryFolder(t)
  const files = ['-keyout', join(folder, 'key'), '-out', join(folder, 'pem')]
  const name = ['-subj', '/CN=db.example', '-days', '2', '-nodes']
  execFileSync('openssl', ['req', '-x509', ...name, ...files, ...options], { stdio: 'pipe' })
  return new Uint8Array(new X509Certificate(fs.readFileSync(join(folder, 'pem'))).raw)
}

const rsa = ['-newkey', 'rsa:1024']
const pss = [...rsa, '-sigopt', 'rsa_padding_mode:pss']
const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']

for (const [name, hash, ...options] of [
  ['RSA with MD5', 'sha256', ...rsa, '-md5'],
  ['RSA with SHA-1', 'sha256', ...rsa, '-sha1'],
  ['RSA with SHA-224', 'sha224', ...rsa, '-sha224'],
  ['RSA with SHA-256', 'sha256', ...rsa, '-sha256'],
  ['RSA with SHA-384', 'sha384', ...rsa, '-sha384'],
  ['RSA with SHA-512', 'sha512', ...rsa, '-sha512'],
  ['ECDSA with SHA-1', 'sha256', ...ec, '-sha1'],
  ['ECDSA with SHA-224', 'sha224', ...ec, '-sha224'],
  ['ECDSA with SHA-256', 'sha256', ...ec, '-sha256'],
  ['ECDSA with SHA-384', 'sha384', ...ec, '-sha384'],
  ['ECDSA with SHA-512', 'sha512', ...ec, '-sha512'],
  ['RSA-PSS with SHA-1', 'sha256', ...pss, '-sha1'],
  ['RSA-PSS with SHA-256', 'sha256', ...pss, '-sha256'],
  ['RSA-PSS with SHA-384', 'sha384', ...pss, '-sha384'],
  ['RSA-PSS of an RSA-PSS key', 'sha256', '-newkey', 'rsa-pss', '-sha256'],
] as const) {
  test(`a certificate signed by ${name} is hashed by ${hash}`, { skip }, (t) => {
    let der: Uint8Array
    try {
      der = certificate(t, ...options)
    } catch (error) {
      // A system may forbid what is out of use; what is in use must work.
      if (!/MD5|SHA-1$/.test(name)) throw error
      return t.skip(`this openssl signs nothing by ${name}`)
    }
    assert.deepEqual(tlsServerEndPoint(der), new Uint8Array(createHash(hash).update(der).digest()))
  })
}

for (const algorithm of ['ed25519', 'ed448']) {
  test(`a certificate signed by ${algorithm} has no binding`, { skip }, (t) => {
    assert.equal(tlsServerEndPoint(certificate(t, '-newkey', algorithm)), undefined)
  })
}

test('a part of a certificate, or more than one, has no binding', { skip }, (t) => {
  const der = certificate(t, ...ec)
  for (let length = 0; length < der.length; length += 1) {
    assert.equal(tlsServerEndPoint(der.subarray(0, length)), undefined)
  }
  assert.equal(tlsServerEndPoint(Buffer.concat([der, der])), undefined)
})

test('bytes that are no certificate have no binding, and do no harm', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.equal(tlsServerEndPoint(bytes), undefined)
      assert.equal(tlsServerEndPoint(Uint8Array.of(0x30, bytes.length, ...bytes)), undefined)
    }),
  )
  for (const bytes of [
    [0x30, 0x84, 255, 255, 255, 255],
    [0x30, 0x85, 0, 0, 0, 0, 0],
    [0x30, 0x80, 0, 0],
  ]) {
    assert.equal(tlsServerEndPoint(Uint8Array.from(bytes)), undefined)
  }
})
