/**
 * A fingerprint is BLAKE3 of an ed25519 public key; the golden values come from agent-mesh.
 */
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import test from 'node:test'
import { inspect } from 'node:util'
import { blake3, Fingerprint } from 'agent-store'
import { fromHex, toHex } from '../support.ts'

const GOLDEN: readonly { seed: string; pubkey: string; fingerprint: string }[] = [
  {
    seed: '01'.repeat(32),
    pubkey: '8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c',
    fingerprint: '83561adb398fd87f8e7ed8331bff2fcb945733cc3012879cb9fab07928667062',
  },
  {
    seed: '02'.repeat(32),
    pubkey: '8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394',
    fingerprint: '1eed29b1654fbca94617004d7969dfc4652b1f30a7a8b771c34800155483380b',
  },
]

/** PKCS #8 of an ed25519 seed: a fixed header and the 32 bytes. */
function privateKey(seed: string): crypto.KeyObject {
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex')
  return crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

test('the golden keys have the fingerprints that agent-mesh gives them', () => {
  for (const { seed, pubkey, fingerprint } of GOLDEN) {
    assert.equal(Fingerprint.fromEd25519Pubkey(fromHex(pubkey)).toHex(), fingerprint)
    const secret = privateKey(seed)
    const open = crypto.createPublicKey(secret)
    assert.equal(Fingerprint.fromEd25519Pubkey(open).toHex(), fingerprint)
    assert.equal(Fingerprint.fromEd25519Pubkey(secret).toHex(), fingerprint)
  }
})

test('a fresh key pair gives BLAKE3 of its raw public key', () => {
  const { publicKey } = crypto.generateKeyPairSync('ed25519')
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const raw = new Uint8Array(spki.subarray(spki.length - 32))
  assert.equal(Fingerprint.fromEd25519Pubkey(publicKey).toHex(), toHex(blake3(raw)))
})

test('all forms of one fingerprint are the same', () => {
  const hex = GOLDEN[0]?.fingerprint ?? ''
  const print = Fingerprint.fromHex(hex)
  assert.equal(print.toHex(), hex)
  assert.equal(String(print), hex)
  assert.equal(JSON.stringify({ writer: print }), `{"writer":"${hex}"}`)
  assert.equal(print.short(), '83561adb398f')
  assert.equal(inspect(print), `Fingerprint(${hex})`)
  assert.equal(toHex(print.asBytes()), hex)
  assert.equal(Fingerprint.fromBytes(fromHex(hex)).toHex(), hex)
  assert.equal(Fingerprint.fromHex(hex.toUpperCase()).toHex(), hex)
})

test('equality is that of the bytes', () => {
  const one = Fingerprint.fromBytes(new Uint8Array(32))
  assert.equal(one.equals(Fingerprint.fromHex('00'.repeat(32))), true)
  const last = new Uint8Array(32)
  last[31] = 1
  assert.equal(one.equals(Fingerprint.fromBytes(last)), false)
})

test('nothing that goes in or comes out can change it', () => {
  const bytes = new Uint8Array(32)
  const print = Fingerprint.fromBytes(bytes)
  bytes.fill(1)
  print.asBytes().fill(2)
  assert.equal(print.toHex(), '00'.repeat(32))
})

test('what is no fingerprint or key is refused, and named', () => {
  assert.throws(() => Fingerprint.fromBytes(new Uint8Array(31)), RangeError)
  assert.throws(() => Fingerprint.fromBytes('x' as never), /bytes must be a Uint8Array/)
  assert.throws(() => Fingerprint.fromHex('0'.repeat(63)), RangeError)
  assert.throws(() => Fingerprint.fromHex('0'.repeat(65)), RangeError)
  assert.throws(() => Fingerprint.fromHex(`${'0'.repeat(63)}g`), RangeError)
  assert.throws(() => Fingerprint.fromHex(`${'0'.repeat(64)}\n`), RangeError)
  assert.throws(() => Fingerprint.fromHex(5 as never), TypeError)
  assert.throws(() => Fingerprint.fromEd25519Pubkey(new Uint8Array(33)), RangeError)
  assert.throws(() => Fingerprint.fromEd25519Pubkey(null as never), TypeError)
  assert.throws(() => Fingerprint.fromEd25519Pubkey({} as never), TypeError)
  const { publicKey } = crypto.generateKeyPairSync('x25519')
  assert.throws(() => Fingerprint.fromEd25519Pubkey(publicKey), TypeError)
})
