/**
 * SCRAM: the vector of the RFC, a server written from the RFC, and one that lies.
 */
import assert from 'node:assert/strict'
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import test from 'node:test'
import { inspect } from 'node:util'
import { md5Password } from '../../src/postgres/auth/md5-password.ts'
import { saslprep } from '../../src/postgres/auth/saslprep.ts'
import { ScramClient, ScramError, type ScramOptions } from '../../src/postgres/auth/scram.ts'
import { utf8 } from '../support.ts'

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const both = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
const endPoint = Uint8Array.from({ length: 32 }, (_, n) => n)

const client = (options: Partial<ScramOptions> = {}) =>
  new ScramClient({ password: 'pencil', offered: both, endPoint: undefined, ...options })

/** RFC 7677, section 3. */
const vector = {
  options: { user: 'user', nonce: 'rOprNGfwEbeRWgbNEkqO' },
  first: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverFirst:
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  final:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
}

/** A client that waits for the server's final message. */
const proven = () => {
  const scram = client(vector.options)
  scram.first()
  scram.final(utf8(vector.serverFirst))
  return scram
}

/** The server's side, written from RFC 5802: it checks the proof, and proves itself. */
function answer(password: string, first: string, salt: Buffer, iterations: number) {
  const [, bare = ''] = /^(?:n|y|p=[a-z-]+),,(.*)$/.exec(first) ?? []
  const serverFirst = `${bare.slice(bare.indexOf('r='))}SERVER,s=${salt.toString('base64')},i=${iterations}`
  const mac = (key: Uint8Array, message: string) =>
    createHmac('sha256', key).update(message).digest()
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const storedKey = createHash('sha256').update(mac(salted, 'Client Key')).digest()
  return {
    serverFirst: utf8(serverFirst),
    finish(final: string): { channel: Buffer; serverFinal: Uint8Array } {
      const [, unproven = '', channel = '', proof = ''] =
        /^(c=([^,]*),r=[^,]*),p=(.*)$/.exec(final) ?? []
      const message = `${bare},${serverFirst},${unproven}`
      const mask = mac(storedKey, message)
      const clientKey = Buffer.from(proof, 'base64').map((byte, n) => byte ^ (mask[n] ?? 0))
      assert.deepEqual(createHash('sha256').update(clientKey).digest(), storedKey)
      const signature = mac(mac(salted, 'Server Key'), message).toString('base64')
      return { channel: Buffer.from(channel, 'base64'), serverFinal: utf8(`v=${signature}`) }
    },
  }
}

test('the vector of RFC 7677 comes out, byte for byte', () => {
  const scram = client(vector.options)
  assert.equal(scram.mechanism, 'SCRAM-SHA-256')
  assert.equal(text(scram.first()), vector.first)
  assert.equal(text(scram.final(utf8(vector.serverFirst))), vector.final)
  scram.verify(utf8(vector.serverFinal))
  assert.equal(scram.isChannelBound, false)
})

for (const [name, options, header, mechanism] of [
  ['no TLS', {}, 'n,,', 'SCRAM-SHA-256'],
  ['TLS, and PLUS offered', { endPoint }, 'p=tls-server-end-point,,', 'SCRAM-SHA-256-PLUS'],
  ['TLS, and PLUS not offered', { endPoint, offered: ['SCRAM-SHA-256'] }, 'y,,', 'SCRAM-SHA-256'],
  ['TLS, and binding disabled', { endPoint, channelBinding: 'disable' }, 'n,,', 'SCRAM-SHA-256'],
  [
    'binding required',
    { endPoint, channelBinding: 'require' },
    'p=tls-server-end-point,,',
    'SCRAM-SHA-256-PLUS',
  ],
] as const) {
  test(`with ${name}, the exchange starts with ${header} and completes`, () => {
    const scram = client(options)
    assert.equal(scram.mechanism, mechanism)
    const first = text(scram.first())
    assert.ok(first.startsWith(`${header}n=,r=`))
    const server = answer('pencil', first, Buffer.from('salt'), 7)
    const { channel, serverFinal } = server.finish(text(scram.final(server.serverFirst)))
    const isPlus = mechanism === 'SCRAM-SHA-256-PLUS'
    const bound = isPlus ? endPoint : new Uint8Array(0)
    assert.deepEqual(channel, Buffer.concat([Buffer.from(header), bound]))
    assert.equal(scram.isChannelBound, false)
    scram.verify(serverFinal)
    assert.equal(scram.isChannelBound, isPlus)
  })
}

for (const [name, options] of [
  ['nothing', { offered: [] }],
  ['only a mechanism not spoken here', { offered: ['GSSAPI', 'SCRAM-SHA-512'] }],
  ['only PLUS, without TLS', { offered: ['SCRAM-SHA-256-PLUS'] }],
  [
    'no PLUS, where it is required',
    { offered: ['SCRAM-SHA-256'], channelBinding: 'require', endPoint },
  ],
  ['PLUS without a certificate, where it is required', { channelBinding: 'require' }],
] as const) {
  test(`a server that offers ${name} is refused`, () => {
    assert.throws(() => client(options), ScramError)
  })
}

const nonce = vector.options.nonce
for (const [name, message, reason] of [
  ['another nonce', `r=x${nonce}y,s=AAAA,i=4096`, /continue/],
  ["only the client's nonce", `r=${nonce},s=AAAA,i=4096`, /continue/],
  ['a cut nonce', `r=${nonce.slice(0, -1)},s=AAAA,i=4096`, /continue/],
  ['no iterations', `r=${nonce}x,s=AAAA,i=0`, /malformed/],
  ['negative iterations', `r=${nonce}x,s=AAAA,i=-1`, /malformed/],
  ['a fraction of an iteration', `r=${nonce}x,s=AAAA,i=1.5`, /malformed/],
  ['endless iterations', `r=${nonce}x,s=AAAA,i=10000001`, /10000001 iterations/],
  ['an empty salt', `r=${nonce}x,s=,i=4096`, /malformed/],
  ['a salt that is not base64', `r=${nonce}x,s=A,i=4096`, /malformed/],
  ['a salt that is not canonical', `r=${nonce}x,s=AB==,i=4096`, /malformed/],
  ['no salt', `r=${nonce}x,i=4096`, /malformed/],
  ['a mandatory extension', `m=x,r=${nonce}x,s=AAAA,i=4096`, /extension/],
  ['an error', 'e=other-error', /other-error/],
  ['nothing', '', /malformed/],
  ['a NUL', `r=${nonce}x,s=AAAA,i=4096\0`, /malformed/],
  ['no reason to be valid', '\xff\xfe', /malformed/],
] as const) {
  test(`a first message with ${name} is refused, and the exchange is over`, () => {
    const scram = client(vector.options)
    scram.first()
    assert.throws(
      () => scram.final(utf8(message)),
      (error) => {
        assert.ok(error instanceof ScramError && error.name === 'ScramError')
        assert.match(error.message, reason)
        return true
      },
    )
    assert.throws(() => scram.final(utf8(vector.serverFirst)), /out of order/)
    assert.throws(() => scram.verify(utf8(vector.serverFinal)), /out of order/)
  })
}

test('an optional extension of the server is passed over', () => {
  const scram = client(vector.options)
  scram.first()
  assert.ok(scram.final(utf8(`${vector.serverFirst},x=future`)))
})

for (const [name, message, reason] of [
  ['the signature of another', `v=${'A'.repeat(43)}=`, /could not prove/],
  ['one other bit', vector.serverFinal.replace('v=6', 'v=7'), /could not prove/],
  ['a cut signature', 'v=6rri', /could not prove/],
  ['an empty signature', 'v=', /malformed/],
  ['an error', 'e=invalid-proof', /invalid-proof/],
  ['nothing', '', /malformed/],
] as const) {
  test(`a final message with ${name} is refused, and the exchange is over`, () => {
    const scram = proven()
    assert.throws(() => scram.verify(utf8(message)), reason)
    assert.throws(() => scram.verify(utf8(vector.serverFinal)), /out of order/)
    assert.equal(scram.isChannelBound, false)
  })
}

test('a server with another password is not believed', () => {
  const scram = client()
  const server = answer('pen', text(scram.first()), Buffer.from('salt'), 2)
  const final = text(scram.final(server.serverFirst))
  assert.throws(() => server.finish(final))
  assert.throws(() => scram.verify(utf8(`v=${Buffer.alloc(32).toString('base64')}`)), ScramError)
})

test('messages go in order, and once', () => {
  const scram = client()
  assert.throws(() => scram.verify(utf8('v=')), /verify is out of order/)
  assert.throws(() => scram.final(utf8('')), /final is out of order/)
  scram.first()
  assert.throws(() => scram.first(), /first is out of order/)
})

test('every exchange has a nonce of its own', () => {
  const nonces = Array.from({ length: 50 }, () => text(client().first()))
  assert.equal(new Set(nonces).size, 50)
  for (const first of nonces) assert.match(first, /^n,,n=,r=[A-Za-z0-9+/]{24}$/)
})

test('a user with a comma or an equals sign is escaped', () => {
  const scram = client({ user: 'a=b,é', nonce: 'n' })
  const first = text(scram.first())
  assert.equal(first, 'n,,n=a=3Db=2Cé,r=n')
  const server = answer('pencil', first, Buffer.from('salt'), 1)
  scram.verify(server.finish(text(scram.final(server.serverFirst))).serverFinal)
})

test('nothing that prints a client shows the password', () => {
  const scram = proven()
  assert.doesNotMatch(inspect(scram, { showHidden: true, depth: Infinity }), /pencil/)
  assert.doesNotMatch(JSON.stringify(scram), /pencil/)
})

for (const [name, password, prepared] of [
  ['ASCII stays, with its controls', 'a \x01\x7f', 'a \x01\x7f'],
  ['a soft hyphen goes (RFC 4013)', 'I\u00adX', 'IX'],
  ['case stays (RFC 4013)', 'USER\u00e9', 'USER\u00e9'],
  ['compatibility forms are replaced (RFC 4013)', '\u00aa', 'a'],
  ['a Roman numeral is replaced (RFC 4013)', '\u2168', 'IX'],
  ['other spaces become a space', 'a\u00a0b\u3000c', 'a b c'],
  ['a zero width space is a space', 'a\u200bb', 'a b'],
  ['composed and decomposed are one', 'e\u0301', '\u00e9'],
  [
    'an emoji, which Unicode 3.2 does not know, leaves it as it is',
    '\u2168\u{1f600}',
    '\u2168\u{1f600}',
  ],
  ['an emoji among older symbols leaves it as it is', 'a\u26a1\ufe0f', 'a\u26a1\ufe0f'],
  ['a symbol that Unicode 3.2 knows is prepared', 'a\u2602\ufe0f', 'a\u2602'],
  ['what would be empty stays as it is', '\u00ad', '\u00ad'],
  ['right to left is prepared', '\u05d0\u00ad1\u05d0', '\u05d01\u05d0'],
] as const) {
  test(`SASLprep: ${name}`, () => {
    assert.equal(saslprep(password), prepared)
  })
}

test('a password is prepared on its way into the proof', () => {
  const scram = client({ password: 'pen\u00adcil', ...vector.options })
  scram.first()
  assert.equal(text(scram.final(utf8(vector.serverFirst))), vector.final)
})

test('an MD5 password is the hash of a hash with the salt', () => {
  const inner = createHash('md5').update('penciluser').digest('hex')
  const outer = createHash('md5').update(
    Buffer.concat([Buffer.from(inner), Buffer.from([1, 2, 255, 4])]),
  )
  assert.equal(
    md5Password('user', 'pencil', Uint8Array.of(1, 2, 255, 4)),
    `md5${outer.digest('hex')}`,
  )
})
