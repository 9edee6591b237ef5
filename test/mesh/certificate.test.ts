/**
 * Chains of certificates: what may be issued, what verifies, and what does not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Agent,
  type Caveats,
  Certificate,
  isWithin,
  KeyPair,
  possessionChallenge,
  provePossession,
  UNRESTRICTED,
} from 'agent-store/mesh'
import { MAX_CHAIN_DEPTH } from '../../src/mesh/identity/certificate.ts'
import { isSmallOrder, isStrictSignature } from '../../src/mesh/identity/keys.ts'
import { fromHex, utf8 } from '../support.ts'
import { agentOf, KEYS, METADATA, VECTORS } from './support.ts'

const json = VECTORS.certA.cert_json
const delegated = VECTORS.certDelegated.cert_json
const parse = (text: string) => Certificate.fromJson(utf8(text))
/** The first byte of a member, another one. */
const damage = (text: string, member: string) =>
  text.replace(new RegExp(`"${member}":\\[(\\d+)`), (_, n) => `"${member}":[${Number(n) ^ 1}`)

test('an agent is issued with what it is and where', () => {
  const agent = Agent.issue(KEYS.user, { role: 'worker', capabilities: ['a', 'b', 'a'] })
  agent.certificate.verify()
  const { role, host, capabilities, issuedAt, expiresAt, caveats } = agent.certificate.metadata
  assert.equal(role, 'worker')
  assert.ok(host.length > 0)
  assert.deepEqual(capabilities, ['a', 'b', 'a'])
  assert.match(issuedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.deepEqual([expiresAt, caveats], [null, UNRESTRICTED])
  assert.ok(agent.user.equals(KEYS.user.fingerprint))
  assert.ok(agent.fingerprint.equals(agent.certificate.agent))
})

test('what signatures do not cover does not matter: order, whitespace, unknown members', () => {
  const { agent_pubkey, metadata, issuer, issuer_sig } = JSON.parse(json)
  const reordered = JSON.stringify({ issuer_sig, x: 1, issuer, metadata, agent_pubkey }, null, 2)
  parse(reordered).verify()
  assert.equal(parse(reordered).toJson(), json)
})

test('members that were added later have their defaults: expires_at none, caveats all', () => {
  const { caveats, expires_at, ...older } = metadataJson()
  assert.deepEqual([caveats.exec, expires_at], ['all', null])
  const read = parse(withMetadata(older))
  read.verify()
  assert.equal(read.toJson(), json)
  assert.throws(() => parse(withMetadata({ ...older, caveats: null })), { code: 'MESH_ENCODING' })
  for (const missing of ['role', 'host', 'capabilities', 'issued_at']) {
    const metadata = Object.fromEntries(
      Object.entries(metadataJson()).filter(([name]) => name !== missing),
    )
    assert.throws(() => parse(withMetadata(metadata)), { code: 'MESH_ENCODING' }, missing)
  }
})

test('the other spelling of a variant without a value is read, and written as usual', () => {
  const caveats = {
    fs_read: { all: null },
    fs_write: { only: ['b', 'a', 'a'] },
    exec: 'all',
    net: 'all',
    max_calls: { unlimited: null },
    valid_for_generation: { only: [10, 9, 9] },
  }
  const read = parse(withMetadata({ ...metadataJson(), caveats }))
  assert.deepEqual(read.metadata.caveats, {
    ...UNRESTRICTED,
    fsWrite: { only: ['a', 'b'] },
    validForGeneration: { only: [9n, 10n] },
  })
  for (const wrong of [
    { ...caveats, exec: 'ALL' },
    { ...caveats, exec: { all: 1 } },
    { ...caveats, exec: { all: null, only: [] } },
    { ...caveats, exec: {} },
    { ...caveats, exec: { some: [] } },
    { ...caveats, exec: null },
    { ...caveats, max_calls: { at_most: -1 } },
    { ...caveats, max_calls: { unlimited: 1 } },
    { ...caveats, max_calls: 3 },
    { ...caveats, valid_for_generation: { only: ['1'] } },
    { ...caveats, net: undefined },
  ]) {
    assert.throws(
      () => parse(withMetadata({ ...metadataJson(), caveats: wrong })),
      { code: 'MESH_ENCODING' },
      JSON.stringify(wrong),
    )
  }
})

test('malformed certificates are refused', () => {
  for (const text of [
    '',
    '{}',
    'null',
    json.slice(0, -1),
    `${json}x`,
    json.replace('"User"', '"user"'),
    json.replace('"verifying"', '"pubkey"'),
    json.replace('"issuer_sig":[80,', '"issuer_sig":['),
    json.replace('"agent_pubkey":[', '"agent_pubkey":[1,'),
    json.replace('"role":"worker"', '"role":"a","role":"worker"'),
    json.replace('"role":"worker"', '"role":"\\ud800"'),
    json.replace('"role":"worker"', '"role":1'),
  ]) {
    assert.throws(() => parse(text), { code: 'MESH_ENCODING' }, text.slice(0, 80))
  }
})

test('a certificate that was changed does not verify', () => {
  for (const member of ['agent_pubkey', 'issuer_sig', 'verifying']) {
    assert.throws(
      () => parse(damage(json, member)).verify(),
      { code: 'MESH_BAD_SIGNATURE' },
      member,
    )
  }
  for (const [from, to] of [
    ['worker', 'admin'],
    ['host-a', 'host-b'],
    ['"expires_at":null', '"expires_at":"2030-01-01T00:00:00Z"'],
    ['"exec":"all"', '"exec":{"only":[]}'],
    ['"max_calls":"unlimited"', '"max_calls":{"at_most":18446744073709551615}'],
  ] as const) {
    assert.throws(() => parse(json.replace(from, to)).verify(), { code: 'MESH_BAD_SIGNATURE' }, to)
  }
})

test('a signature by somebody else does not verify', () => {
  const forged = Certificate.issue(KEYS.otherUser, KEYS.agentA.publicKey, METADATA)
  const claimed = forged
    .toJson()
    .replace(`[${KEYS.otherUser.publicKey.join()}]`, `[${KEYS.user.publicKey.join()}]`)
  assert.ok(parse(claimed).user.equals(KEYS.user.fingerprint))
  assert.throws(() => parse(claimed).verify(), { code: 'MESH_BAD_SIGNATURE' })
})

test('every link of a chain is checked', () => {
  parse(delegated).verify()
  assert.throws(() => parse(damage(delegated, 'pubkey')).verify(), {
    code: 'MESH_INVALID_CERT_CHAIN',
  })
  assert.throws(() => parse(delegated.replace('worker', 'admin')).verify(), {
    code: 'MESH_BAD_SIGNATURE',
  })
  assert.throws(() => parse(delegated.replace('"sub"', '"top"')).verify(), {
    code: 'MESH_BAD_SIGNATURE',
  })
  assert.throws(() => parse(damage(delegated, 'verifying')).verify(), {
    code: 'MESH_BAD_SIGNATURE',
  })
})

test('a delegated certificate grants no more than its parent has', () => {
  const some = { ...UNRESTRICTED, exec: { only: ['cargo'] }, maxCalls: { atMost: 3n } }
  const parent = agentOf(KEYS.agentA).delegate({ role: 'sub', caveats: some })
  assert.deepEqual(parent.delegate({ role: 'x' }).certificate.metadata.caveats, some)
  const less = { ...some, exec: { only: [] }, maxCalls: { atMost: 0n } }
  parent.delegate({ role: 'x', caveats: less }).certificate.verify()
  for (const more of [
    UNRESTRICTED,
    { ...some, exec: { only: ['cargo', 'rustc'] } },
    { ...some, maxCalls: { atMost: 4n } },
    { ...some, maxCalls: 'unlimited' as const },
  ]) {
    assert.equal(isWithin(more, some), false)
    assert.throws(() => parent.delegate({ role: 'x', caveats: more }), {
      code: 'MESH_CAVEAT_AMPLIFICATION',
    })
    assert.throws(() => parse(forgedChild(parent, more)).verify(), {
      code: 'MESH_CAVEAT_AMPLIFICATION',
    })
  }
})

test('a certificate for generations verifies in those alone, in every link', () => {
  const caveats = { ...UNRESTRICTED, validForGeneration: { only: [3n, 2n ** 64n - 1n] } }
  const agent = Agent.issue(KEYS.user, { role: 'x', caveats })
  const below = agent.delegate({ role: 'y' })
  for (const { certificate } of [agent, below]) {
    certificate.verify(3n)
    certificate.verify(2n ** 64n - 1n)
    assert.throws(() => certificate.verify(), { code: 'MESH_CERTIFICATE_GENERATION' })
    assert.throws(() => certificate.verify(4n), /not valid in generation 4/)
  }
})

test('a chain has at most 32 certificates', () => {
  let agent = agentOf(KEYS.agentA)
  while (agent.certificate.depth < MAX_CHAIN_DEPTH) agent = agent.delegate({ role: 'x' })
  const deepest = parse(agent.certificate.toJson())
  deepest.verify()
  assert.equal(deepest.depth, 32)
  assert.throws(() => agent.delegate({ role: 'x' }), { code: 'MESH_INVALID_CERT_CHAIN' })
  assert.throws(() => parse(forgedChild(agent, UNRESTRICTED)), { code: 'MESH_INVALID_CERT_CHAIN' })
})

test('a key takes only its own certificate', () => {
  const { certificate } = agentOf(KEYS.agentA)
  assert.throws(() => new Agent(KEYS.agentB, certificate), { code: 'MESH_BAD_SIGNATURE' })
  assert.throws(
    () => Certificate.delegate(KEYS.agentB, certificate, KEYS.agentB.publicKey, METADATA),
    { code: 'MESH_BAD_SIGNATURE' },
  )
})

test("a stranger's key is certified when it proves to be held", () => {
  const issuer = agentOf(KEYS.agentA)
  const subject = KeyPair.generate()
  const challenge = possessionChallenge(issuer.key.publicKey, subject.publicKey)
  const certificate = issuer.certify(challenge, provePossession(subject, challenge), {
    role: 'guest',
  })
  certificate.verify()
  assert.ok(certificate.agent.equals(subject.fingerprint))
  const another = KeyPair.generate()
  assert.throws(
    () => issuer.certify(challenge, provePossession(another, challenge), { role: 'x' }),
    { code: 'MESH_BAD_SIGNATURE' },
  )
  assert.throws(
    () => agentOf(KEYS.agentB).certify(challenge, provePossession(subject, challenge), METADATA),
    { code: 'MESH_INVALID_CERT_CHAIN' },
  )
})

test('what is no text, or no key, is refused before it is signed', () => {
  const wrong = JSON.parse('5')
  assert.throws(() => Agent.issue(KEYS.user, { role: wrong }), /^TypeError: role must be a string/)
  assert.throws(
    () => Certificate.issue(KEYS.user, wrong, METADATA),
    /^TypeError: agentKey must be a Uint8Array/,
  )
  assert.throws(() => Agent.issue(KEYS.user, { role: '\ud800' }), /^TypeError: role/)
  assert.throws(
    () => Agent.issue(KEYS.user, { role: '', capabilities: ['\udc00'] }),
    /^TypeError: capabilities/,
  )
  const caveats = { ...UNRESTRICTED, maxCalls: { atMost: 2n ** 64n } }
  assert.throws(() => Agent.issue(KEYS.user, { role: '', caveats }), /^RangeError: maxCalls/)
  assert.throws(
    () => Certificate.issue(KEYS.user, new Uint8Array(31), METADATA),
    /^RangeError: agentKey must have 32 bytes/,
  )
})

test('points of small order are known in every spelling, and no link is signed by one', () => {
  const p = 2n ** 255n - 19n
  const d = (-121665n * inverse(121666n, p)) % p
  const encode = (y: bigint) => fromHex(y.toString(16).padStart(64, '0')).reverse()
  const eight = [
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ]
  for (const hex of eight) {
    // Doubled, such a point has y = 0, which is of order 4: x^2 + y^2 = 0 on the curve.
    const y = BigInt(`0x${Buffer.from(hex, 'hex').reverse().toString('hex')}`)
    assert.equal((((2n * y * y - 1n + d * y ** 4n) % p) + p) % p, 0n)
    assert.ok(isSmallOrder(fromHex(hex)))
  }
  for (const y of [0n, 1n, p - 1n, p, p + 1n, 1n + (1n << 255n), (1n << 255n) + p]) {
    assert.ok(isSmallOrder(encode(y)), String(y))
  }
  for (const key of Object.values(KEYS)) assert.ok(!isSmallOrder(key.publicKey))
  // Under the point of order 2 as a key, this signature fits every other message in OpenSSL 3.0;
  // 3.5 refuses it by itself.
  const two = encode(p - 1n)
  const fitsMany = new Uint8Array([...two, ...new Uint8Array(32)])
  for (let i = 0; i < 50; i++) assert.ok(!isStrictSignature(two, utf8(`message ${i}`), fitsMany))
})

function metadataJson() {
  return JSON.parse(VECTORS.certA.metadata_json)
}

function withMetadata(metadata: object): string {
  return JSON.stringify({ ...JSON.parse(json), metadata })
}

/** The JSON of a child that the parent signed without looking at what it grants. */
function forgedChild(parent: Agent, caveats: Caveats): string {
  const { publicKey } = KeyPair.generate()
  const signed = Certificate.issue(parent.key, publicKey, { ...METADATA, caveats }).toJson()
  const issuer = `{"User":{"verifying":[${parent.key.publicKey.join()}]}}`
  const link = `{"Agent":{"pubkey":[${parent.key.publicKey.join()}],"parent":${parent.certificate.toJson()}}}`
  assert.ok(signed.includes(issuer))
  return signed.replace(issuer, link)
}

function inverse(a: bigint, p: bigint): bigint {
  let result = 1n
  for (let e = p - 2n, base = a; e > 0n; e >>= 1n, base = (base * base) % p) {
    if (e & 1n) result = (result * base) % p
  }
  return result
}
