/**
 * The key file: the form of the Rust programs, whatever they read, and never a key overwritten.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultKeyPath, KeyPair, readKeyFile, writeKeyFile } from 'agent-store/mesh'
import { fromPem, toPem } from '../../src/mesh/identity/key-file.ts'
import { fromDer, toDer } from '../../src/mesh/identity/pkcs8.ts'
import { temporaryFolder, toHex } from '../support.ts'
import { KEYS, VECTORS } from './support.ts'

const PEM = VECTORS.pem

function pem(der: Uint8Array, label = 'PRIVATE KEY'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

test('a key is written with its folders, for its owner alone, and read again', (t) => {
  const path = join(temporaryFolder(t), 'a', 'b', 'user.key')
  const key = KeyPair.generate()
  writeKeyFile(path, key)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(readKeyFile(path).exportSeed(), key.exportSeed())
  assert.match(
    readFileSync(path, 'utf8'),
    /^-----BEGIN PRIVATE KEY-----\n.{64}\n.{48}\n-----END PRIVATE KEY-----\n$/,
  )
})

test('a key is never overwritten, nor written through a link', (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'user.key')
  writeKeyFile(path, KEYS.user)
  assert.throws(() => writeKeyFile(path, KEYS.agentA), { code: 'MESH_KEY_FILE' })
  assert.deepEqual(readKeyFile(path).exportSeed(), KEYS.user.exportSeed())
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'))
  assert.throws(() => writeKeyFile(join(folder, 'link'), KEYS.agentA), { code: 'MESH_KEY_FILE' })
})

test('a file that is not there, or is a folder, is named', (t) => {
  const folder = temporaryFolder(t)
  assert.throws(
    () => readKeyFile(join(folder, 'none')),
    /^MeshError: .*none: there is none; `agent-store mesh keygen` makes one$/,
  )
  mkdirSync(join(folder, 'folder'))
  assert.throws(() => readKeyFile(join(folder, 'folder')), { code: 'MESH_KEY_FILE' })
  writeFileSync(join(folder, 'file'), 'no key')
  assert.throws(() => readKeyFile(join(folder, 'file')), { code: 'MESH_INVALID_KEY' })
})

test('PKCS#8 of both versions is read', () => {
  const v1 = Buffer.from(`302e020100300506032b657004220420${VECTORS.keys.user.seed}`, 'hex')
  assert.deepEqual(fromDer(v1).publicKey, KEYS.user.publicKey)
  assert.deepEqual(fromPem(pem(v1)).publicKey, KEYS.user.publicKey)
  assert.equal(toDer(KEYS.user).length, 83)
  assert.deepEqual(fromDer(toDer(KEYS.user)).publicKey, KEYS.user.publicKey)
})

test('CR LF, text before, and no line end at the end are read', () => {
  for (const text of [PEM.replaceAll('\n', '\r\n'), `a comment\n${PEM}`, PEM.slice(0, -1)]) {
    assert.deepEqual(fromPem(text).publicKey, KEYS.user.publicKey, text)
  }
})

test('anything else is no key', () => {
  const [begin, first, second, end] = PEM.split('\n')
  const der = toDer(KEYS.user)
  const wrongHalf = der.slice()
  wrongHalf.set(KEYS.agentA.publicKey, 51)
  for (const text of [
    '',
    `${PEM}\n`,
    `${begin}\n${first}${second}\n${end}\n`,
    `${begin}\n${end}\n`,
    PEM.replaceAll('PRIVATE', 'PUBLIC'),
    PEM.replace('END PRIVATE', 'END PUBLIC'),
    `x${PEM}`,
    pem(der.subarray(0, 82)),
    pem(new Uint8Array([...der, 0])),
    pem(wrongHalf),
    pem(KEYS.user.exportSeed()),
    pem(new Uint8Array(83)),
    pem(new Uint8Array(48)),
  ]) {
    assert.throws(() => fromPem(text), { code: 'MESH_INVALID_KEY' }, text)
  }
})

test('the usual place follows AMESH_HOME, else the home folder', () => {
  assert.equal(defaultKeyPath({ AMESH_HOME: '/somewhere' }), '/somewhere/user.key')
  assert.match(defaultKeyPath({ AMESH_HOME: '' }), /\.agent-mesh\/user\.key$/)
  assert.match(defaultKeyPath({}), /\.agent-mesh\/user\.key$/)
})

test('a key does not show its secret', () => {
  const seed = toHex(KEYS.user.exportSeed())
  for (const shown of [String(KEYS.user), JSON.stringify({ key: KEYS.user }), toPem.name]) {
    assert.ok(!shown.includes(seed))
  }
  assert.equal(String(KEYS.user), VECTORS.keys.user.fingerprint)
})
