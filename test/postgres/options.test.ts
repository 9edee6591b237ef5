/**
 * The options: read as libpq reads them, and never a password in what is shown.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { PolicyError } from 'agent-store'
import fc from 'fast-check'
import { describe, type Host, type PgOptions, settle } from '../../src/postgres/settings/options.ts'
import { redact } from '../../src/postgres/settings/url.ts'
import { temporaryFolder, warningCodes } from '../support.ts'

/** A home without files, so that this machine's own do not count. */
const env: NodeJS.ProcessEnv = { HOME: '/nowhere' }
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
const KEY = '-----BEGIN PRIVATE KEY-----\nzq9secret\n-----END PRIVATE KEY-----\n'

type Input = string | URL | PgOptions

const places = (input: Input, variables = env) => {
  const settings = settle(input, variables)
  return settings.hosts.map((host) => `${host.kind} ${describe(settings, host)}`)
}

const passwordOf = (input: Input, variables = env, n = 0) => {
  const settings = settle(input, variables)
  return settings.password(hostOf(settings.hosts, n))
}

function hostOf(hosts: readonly Host[], n = 0): Host {
  const host = hosts[n]
  assert.ok(host)
  return host
}

/** Options that the types forbid. */
const wrongly = (options: object): PgOptions => options

const messageOf = (input: Input, variables = env): string => {
  try {
    settle(input, variables)
  } catch (error) {
    assert.ok(error instanceof PolicyError, inspect(error))
    return error.message
  }
  return assert.fail(`${inspect(input)} was accepted`)
}

for (const [input, ...expected] of [
  ['postgres://u:p@h1:5432,h2:5433/db', 'tcp u@h1:5432/db', 'tcp u@h2:5433/db'],
  ['postgresql://u@h1,h2:5433,h3', 'tcp u@h1:5432/u', 'tcp u@h2:5433/u', 'tcp u@h3:5432/u'],
  ['POSTGRES://u@h', 'tcp u@h:5432/u'],
  ['postgres://u@h:/db', 'tcp u@h:5432/db'],
  ['postgres://u@h?dbname=other', 'tcp u@h:5432/other'],
  ['postgres://u@h/db?', 'tcp u@h:5432/db'],
  ['postgres://u:p@[::1]:99/db', 'tcp u@[::1]:99/db'],
  ['postgres://u@[fe80::1%25eth0],[::2]/db', 'tcp u@[fe80::1%eth0]:5432/db', 'tcp u@[::2]:5432/db'],
  ['postgres://u@h/a%2Fb%3F', 'tcp u@h:5432/a/b?'],
  ['postgres://%C3%A9%3A%40@h/db', 'tcp é:@@h:5432/db'],
  ['postgres://u:p#x@h/db', 'tcp u@h:5432/db'],
  ['postgres://u:p@x@h/db', 'tcp u@h:5432/db'],
  ['postgres://u@%2Fvar%2Frun%2Fpg/db', 'unix u@/var/run/pg:5432/db'],
  ['postgres://u@/db?host=/var/run/pg&port=6000', 'unix u@/var/run/pg:6000/db'],
  ['postgres:///db?host=/a,h&user=u', 'unix u@/a:5432/db', 'tcp u@h:5432/db'],
  ['postgres:///db?host=@abstract&user=u', 'unix u@@abstract:5432/db'],
  ['postgres://u@a:1/db?host=b', 'tcp u@b:1/db'],
  ['postgres://u@h/db?dbname=', 'tcp u@h:5432/u'],
  ['postgres://u@h/a?dbname=b&dbname=c', 'tcp u@h:5432/c'],
  ['host=a host=b user=u port=', 'tcp u@b:5432/u'],
  ['host=h port=1 user=u dbname=d', 'tcp u@h:1/d'],
  [" host = h\tuser='a b' dbname='it\\'s \\\\' ", "tcp a b@h:5432/it's \\"],
  ['user=a\\ b host=h', 'tcp a b@h:5432/a b'],
  ["host=h user=u dbname=''", 'tcp u@h:5432/u'],
  ['host=a,b port=1,2 user=u', 'tcp u@a:1/u', 'tcp u@b:2/u'],
  ['host=a,b port=9 user=u', 'tcp u@a:9/u', 'tcp u@b:9/u'],
] as const) {
  test(`a connection string is read as libpq does: ${input}`, () => {
    assert.deepEqual(places(input), expected)
  })
}

for (const [name, input, ...expected] of [
  ['a host', { host: 'h', user: 'u' }, 'tcp u@h:5432/u'],
  ['hosts as text', { host: 'a,b', user: 'u' }, 'tcp u@a:5432/u', 'tcp u@b:5432/u'],
  ['hosts as a list', { host: ['a', '/b'], port: 7, user: 'u' }, 'tcp u@a:7/u', 'unix u@/b:7/u'],
  ['a port for each', { host: ['a', 'b'], port: [1, 2], user: 'u' }, 'tcp u@a:1/u', 'tcp u@b:2/u'],
  ['IPv6', { host: '::1', user: 'u', database: 'd' }, 'tcp u@[::1]:5432/d'],
  ['options over a URL', { url: 'postgres://a@h:1/x', user: 'u', port: 2 }, 'tcp u@h:2/x'],
  ['a URL object', { url: new URL('postgres://u:p@h:1/x') }, 'tcp u@h:1/x'],
] as const) {
  test(`options say where: ${name}`, () => {
    assert.deepEqual(places(input), expected)
  })
}

test('an option wins over the URL, that over the environment, and that over the default', () => {
  const variables = {
    ...env,
    PGHOST: 'env',
    PGPORT: '7',
    PGUSER: 'eve',
    PGDATABASE: 'envdb',
    PGPASSWORD: 'envpw',
    PGAPPNAME: 'envapp',
    PGCONNECT_TIMEOUT: '3',
    PGTARGETSESSIONATTRS: 'any',
    PGCHANNELBINDING: 'disable',
    PGOPTIONS: '-c search_path=envpath -c work_mem=1MB',
    PGSSLMODE: 'disable',
  }
  const fromEnv = settle({}, variables)
  assert.deepEqual(places({}, variables), ['tcp eve@env:7/envdb'])
  assert.equal(fromEnv.password(hostOf(fromEnv.hosts)), 'envpw')
  const { applicationName, connectTimeoutMs, targetSessionAttrs, channelBinding } = fromEnv
  assert.deepEqual(
    [applicationName, connectTimeoutMs, targetSessionAttrs, channelBinding],
    ['envapp', 3000, 'any', 'disable'],
  )
  assert.deepEqual([fromEnv.searchPath, fromEnv.startup], ['envpath', { work_mem: '1MB' }])
  assert.deepEqual(hostOf(fromEnv.hosts).tls, { mode: 'disable' })

  const url = 'postgres://u:urlpw@h:1/db?application_name=a&connect_timeout=9'
  assert.deepEqual(places(url, variables), ['tcp u@h:1/db'])
  assert.equal(passwordOf(url, variables), 'urlpw')
  assert.equal(settle(url, variables).connectTimeoutMs, 9000)

  const all = settle(
    {
      url,
      password: 'own',
      applicationName: 'mine',
      connectTimeoutMs: 1,
      searchPath: 'p',
      tls: 'verify-full',
      targetSessionAttrs: 'read-write',
      channelBinding: 'prefer',
    },
    variables,
  )
  assert.equal(all.password(hostOf(all.hosts)), 'own')
  assert.deepEqual(
    [all.applicationName, all.connectTimeoutMs, all.searchPath, all.targetSessionAttrs],
    ['mine', 1, 'p', 'read-write'],
  )
  assert.deepEqual([all.channelBinding, hostOf(all.hosts).tls.mode], ['prefer', 'verify-full'])
})

test('nothing said is this machine, this user and the defaults', () => {
  const settings = settle({}, env)
  const { applicationName, searchPath, startup, targetSessionAttrs, channelBinding } = settings
  assert.deepEqual(
    [applicationName, searchPath, startup, targetSessionAttrs, channelBinding],
    ['agent-store', undefined, {}, 'read-write', 'prefer'],
  )
  const { connectTimeoutMs, deadlineMs, pooler, reconnect, user, database } = settings
  assert.deepEqual(
    [connectTimeoutMs, deadlineMs, pooler, reconnect],
    [10_000, 30_000, 'none', false],
  )
  assert.deepEqual([user, database], [userInfo().username, userInfo().username])
  const host = hostOf(settings.hosts)
  assert.deepEqual(host.tls, { mode: 'disable' })
  if (host.kind === 'tcp') assert.equal(host.host, 'localhost')
  else assert.ok(fs.existsSync(host.path))
  assert.equal(settings.password(host), undefined)
})

test('what is empty counts as not said', () => {
  const variables = { ...env, PGHOST: 'h', PGUSER: '', PGDATABASE: 'd' }
  assert.deepEqual(places({ url: '', host: '', user: '', database: '', password: '' }, variables), [
    `tcp ${userInfo().username}@h:5432/d`,
  ])
  assert.deepEqual(places('postgres://u:@/', variables), ['tcp u@h:5432/d'])
})

test('a socket has its path, an abstract one with a leading NUL', () => {
  const path = (host: string) => {
    const place = hostOf(settle({ host }, env).hosts)
    return place.kind === 'unix' ? place.path : assert.fail()
  }
  assert.equal(path('/run/pg'), '/run/pg/.s.PGSQL.5432')
  assert.equal(path('@pg'), '\0pg/.s.PGSQL.5432')
  assert.match(messageOf({ host: `/${'x'.repeat(100)}` }), /too long/)
})

test('a hostaddr is where to connect to, and the host what the certificate must name', () => {
  const host = hostOf(settle('host=db.example hostaddr=10.0.0.1 user=u', env).hosts)
  assert.deepEqual(
    [host.kind === 'tcp' && host.address, host.tls.mode === 'verify-full' && host.tls.serverName],
    ['10.0.0.1', 'db.example'],
  )
  assert.deepEqual(places('hostaddr=::1,10.0.0.1 user=u'), [
    'tcp u@[::1]:5432/u',
    'tcp u@10.0.0.1:5432/u',
  ])
  const variables = { ...env, PGHOSTADDR: '10.0.0.1' }
  assert.match(messageOf('host=a,b', variables), /2 hosts .* 1 hostaddr/)
  assert.match(messageOf('hostaddr=db.example'), /"db\.example"/)
})

for (const [host, mode] of [
  ['localhost', 'disable'],
  ['LOCALHOST', 'disable'],
  ['127.0.0.1', 'disable'],
  ['127.9.9.9', 'disable'],
  ['::1', 'disable'],
  ['/tmp', 'disable'],
  ['@pg', 'disable'],
  ['db.example', 'verify-full'],
  ['10.0.0.1', 'verify-full'],
  ['0.0.0.0', 'verify-full'],
  ['127.1.example', 'verify-full'],
  ['localhost.example', 'verify-full'],
  ['::2', 'verify-full'],
] as const) {
  test(`without a word about TLS, ${host} is ${mode}`, () => {
    assert.equal(hostOf(settle({ host }, env).hosts).tls.mode, mode)
  })
}

test('what is said about TLS holds for every TCP host, and never for a socket', () => {
  const modes = (input: Input) => settle(input, env).hosts.map(({ tls }) => tls.mode)
  const url = 'postgres://localhost,db.example,%2Ftmp/'
  assert.deepEqual(modes(url), ['disable', 'verify-full', 'disable'])
  assert.deepEqual(modes(`${url}?sslmode=verify-full`), ['verify-full', 'verify-full', 'disable'])
  assert.deepEqual(modes(`${url}?sslmode=disable`), ['disable', 'disable', 'disable'])
  assert.deepEqual(modes({ url: `${url}?sslmode=disable`, tls: 'verify-full' }), [
    'verify-full',
    'verify-full',
    'disable',
  ])
})

for (const mode of ['allow', 'prefer', 'require', 'verify-ca', 'VERIFY-FULL', 'no']) {
  test(`sslmode ${mode} is refused, with the two that there are`, () => {
    const message = messageOf(`postgres://u:zq9@h/db?sslmode=${mode}`)
    assert.match(message, /^sslmode must be 'disable' or 'verify-full', got "/)
    assert.ok(message.includes(mode))
    assert.doesNotMatch(message, /zq9/)
    assert.match(messageOf({ host: 'h' }, { ...env, PGSSLMODE: mode }), /^PGSSLMODE must be/)
  })
}

test('a word of the environment that an option overrides is not looked at', () => {
  const variables = { ...env, PGSSLMODE: 'prefer', PGCONNECT_TIMEOUT: 'x', PGPORT: 'x' }
  assert.ok(settle({ host: 'h', tls: 'disable', connectTimeoutMs: 1, port: 1 }, variables))
})

test('required channel binding needs TLS to every host', () => {
  assert.equal(settle({ host: 'h', channelBinding: 'require' }, env).channelBinding, 'require')
  assert.match(messageOf('postgres://h,localhost/?channel_binding=require'), /needs TLS/)
  assert.match(
    messageOf({ host: '/tmp', tls: 'verify-full', channelBinding: 'require' }),
    /needs TLS/,
  )
})

test('options start a session with settings', () => {
  const said = (options: string) => settle({ url: `host=h options='${options}'` }, env)
  const { searchPath, startup, applicationName } = said(
    '-c search_path=a,b --statement-timeout=5s -cWork_Mem=1MB -c a.b=x=y -c e= -c application_name=n',
  )
  assert.deepEqual([searchPath, applicationName], ['a,b', 'n'])
  assert.deepEqual(startup, { statement_timeout: '5s', work_mem: '1MB', 'a.b': 'x=y', e: '' })
  assert.deepEqual(said(' ').startup, {})
  assert.equal(said('-c search_path=a,\\\\ b').searchPath, 'a, b')
  for (const wrong of ['-d 5', '-c', '-c x', 'x=y', '-B 3', '--=x']) {
    assert.match(messageOf({ url: `host=h options='${wrong}'` }), /^options must be switches/)
  }
  for (const own of ['user', 'replication', 'client_encoding', 'CLIENT-ENCODING', '_pq_.x']) {
    assert.match(messageOf({ url: `host=h options='-c ${own}=1'` }), /cannot set/)
  }
})

for (const [input, named] of [
  ['postgres://h/db?sslmod=disable', /unknown parameter .*"sslmod"; known are host, .*sslmode/],
  ['postgres://h/db?ssl=true', /"ssl"/],
  ['host=h nme=x', /unknown keyword .*"nme"; known are host,/],
  ['mysql://u:zq9@h/db', /mysql:\/\/u:\*\*\*@h\/db/],
  ['jdbc:postgresql://h/db?user=u&password=zq9', /must start with postgres:/],
  ['u:zq9@h/db', /u:\*\*\*@h\/db/],
  ['host=h host', /character 7/],
  ["host=h password='zq9", /character 7/],
  ['host=h password=my zq9', /character 19/],
  ['host=h password=my zq9=x', /unknown keyword/],
  ['postgres://u:zq9/x@h/db', /%2F/],
  ['postgres://u:zq9?x@h/db', /%3F/],
  ['postgres://u:zq9@a/b@h/db', /u:\*\*\*@h\/db/],
  ['postgres://u:zq9%@h/db', /password .*u:\*\*\*@h\/db/],
  ['postgres://u:zq9%00@h/db', /password .*u:\*\*\*@h\/db/],
  ['postgres://u:zq9%ff@h/db', /password .*u:\*\*\*@h\/db/],
  ['postgres://u:zq9/db', /malformed.*u:\*\*\*"/],
  ['postgres://u:x/zq9', /malformed.*u:\*\*\*"/],
  ['postgres://u@[::1/db', /malformed/],
  ['postgres://u@[]/db', /malformed/],
  ['postgres://u@[::1]x/db', /malformed/],
  ['postgres://h:0/db', /malformed/],
  ['postgres://h:65536/db', /malformed/],
  ['postgres://h/db?x', /name=value/],
  ['postgres://h/db?password=a=zq9', /name=value.*h\/db\?\*\*\*/],
  ['postgres://h/db?password=a&zq9=1', /unknown parameter in the connection URL;/],
  ['postgres://h/db?port=x', /port must be from 1 to 65535, got "x"/],
  ['postgres://a,b/db?port=1,2,3', /3 ports .* 2 hosts/],
  ['postgres://a%20b/db', /"a b"/],
  ['postgres://h/db?connect_timeout=0', /connect_timeout .*"0"/],
  ['postgres://h/db?connect_timeout=1.5', /connect_timeout .*"1\.5"/],
  ['postgres://h/db?connect_timeout=2147484', /2147483, got/],
  ['postgres://h/db?target_session_attrs=standby', /'any' or 'read-write', got "standby"/],
  ['postgres://h/db?channel_binding=yes', /'disable' or 'prefer' or 'require', got "yes"/],
  [
    'postgres://h/db?sslrootcert=/nowhere/ca',
    /sslrootcert: the file "\/nowhere\/ca" cannot be read/,
  ],
] as const) {
  test(`a connection string that is refused names what is wrong: ${input}`, () => {
    const message = messageOf(input)
    assert.match(message, named)
    assert.doesNotMatch(message, /zq9/)
  })
}

for (const [input, named] of [
  [{ hots: 'h' }, /unknown option "hots"; known are url, host,/],
  [{ host: 5 }, /host must be text, got 5/],
  [{ host: 'a b' }, /"a b"/],
  [{ host: '[::1]' }, /without brackets/],
  [{ host: 'a:5432' }, /"a:5432"/],
  [{ host: ['a', 'b'], port: [1, 2, 3] }, /3 ports .* 2 hosts/],
  [{ port: 0 }, /port must be a whole number from 1 to 65535, got 0/],
  [{ port: '5432' }, /port must be/],
  [{ port: () => 5432 }, /port must be .* got a function/],
  [{ tls: 'x'.repeat(300) }, /got "x{200}…"/],
  [{ port: [1, 65_536], host: 'a,b' }, /got 65536/],
  [{ user: 'a\0b' }, /user must be well-formed/],
  [{ database: '\ud800' }, /database must be well-formed/],
  [{ password: 5 }, /password must be text or a function that gives it, got number/],
  [{ password: 'zq9\0' }, /password must be well-formed Unicode without a NUL, got other text/],
  [{ tls: 'require' }, /tls must be 'disable' or 'verify-full', got "require"/],
  [{ tls: true }, /got true/],
  [{ host: 'h', ca: '/etc/ca.pem' }, /ca must be PEM text .*'system'/],
  [{ host: 'h', cert: PEM }, /key \(sslkey\) is missing/],
  [{ host: 'h', key: KEY }, /cert \(sslcert\) is missing/],
  [{ host: 'h', cert: PEM, key: 'zq9' }, /key must be PEM text/],
  [{ host: 'h', key: 5 }, /key must be PEM text/],
  [{ connectTimeoutMs: 0 }, /connectTimeoutMs must be a whole number from 1 to 2147483647, got 0/],
  [{ deadlineMs: 2 ** 31 }, /got 2147483648/],
  [{ deadlineMs: 1.5 }, /got 1\.5/],
  [{ deadlineMs: Number.NaN }, /got NaN/],
  [{ targetSessionAttrs: 'primary' }, /'any' or 'read-write'/],
  [{ pooler: 'session' }, /'none' or 'transaction', got "session"/],
  [{ reconnect: 1 }, /true or false, got 1/],
  [{ url: 5 }, /url must be text/],
  [['h'], /must be an object/],
] as const) {
  test(`options that are refused name the value: ${inspect(input, { breakLength: Infinity })}`, () => {
    const message = messageOf(wrongly(input))
    assert.match(message, named)
    assert.doesNotMatch(message, /zq9/)
  })
}

test('limits of the waits are accepted', () => {
  const { connectTimeoutMs, deadlineMs } = settle(
    { connectTimeoutMs: 1, deadlineMs: 2 ** 31 - 1 },
    env,
  )
  assert.deepEqual([connectTimeoutMs, deadlineMs], [1, 2 ** 31 - 1])
})

test('a function gives the password anew at each connect', () => {
  let calls = 0
  const settings = settle({ host: 'h', password: () => `token ${++calls}` }, env)
  assert.equal(calls, 0)
  const host = hostOf(settings.hosts)
  assert.deepEqual([settings.password(host), settings.password(host)], ['token 1', 'token 2'])
  const odd = settle(wrongly({ host: 'h', password: () => ({ token: 'zq9' }) }), env)
  assert.throws(() => odd.password(host), /must be text, got object$/)
  const failure = new Error('no token today')
  const failing = settle(
    {
      host: 'h',
      password: () => {
        throw failure
      },
    },
    env,
  )
  assert.throws(() => failing.password(host), failure)
})

/** A home with a password file. */
function passfile(t: TestContext, text: string, mode = 0o600): NodeJS.ProcessEnv {
  const folder = temporaryFolder(t)
  fs.writeFileSync(join(folder, '.pgpass'), text)
  fs.chmodSync(join(folder, '.pgpass'), mode)
  return { HOME: folder }
}

test('the password file gives the first line that matches', (t) => {
  const home = passfile(
    t,
    [
      '# h:5432:db:u:comment',
      '',
      'h:5432:db:other:no',
      'h:5432:db:u:first',
      'h:*:db:u:second',
      '*:5433:*:*:a\\:b\\\\c:not this',
      'odd\\:host:*:*:*:no',
      '::1:*:*:*:no',
      '\\:\\:1:*:*:*:six',
      'localhost:*:db:u:socket',
      '/run/pg:*:*:*:folder\r',
      'h:*:star:\\*:no',
      'h:*:*:last',
      'h:*:empty:*:',
      'h:*:empty:*:full',
    ].join('\n'),
  )
  const at = (url: string) => passwordOf(url, home)
  assert.equal(at('postgres://u@h/db'), 'first')
  assert.equal(at('postgres://u@h:9/db'), 'second')
  assert.equal(at('postgres://x@y:5433/z'), 'a:b\\c')
  assert.equal(at('postgres://u@[::1]/db'), 'six')
  assert.equal(at('postgres://u@localhost/db'), 'socket')
  assert.equal(at('postgres://u@/db?host=/var/run/postgresql'), 'socket')
  assert.equal(at('postgres://u@/db?host=/tmp'), 'socket')
  assert.equal(at('postgres://u@/db?host=/run/pg'), 'folder')
  assert.equal(at('postgres://u@h/star'), undefined)
  assert.equal(at('postgres://u@h/empty'), 'full')
  assert.equal(at('postgres://u@nowhere/db'), undefined)
  assert.equal(at('postgres://u:said@h/db'), 'said')
  assert.equal(passwordOf('postgres://u@a,h/db', home, 1), 'first')
})

test('a password file is named by PGPASSFILE, and over that by passfile', (t) => {
  const first = join(passfile(t, '*:*:*:*:one').HOME ?? '', '.pgpass')
  const second = join(passfile(t, '*:*:*:*:two').HOME ?? '', '.pgpass')
  const variables = { ...env, PGPASSFILE: first }
  assert.equal(passwordOf('postgres://u@h', variables), 'one')
  assert.equal(passwordOf(`postgres://u@h?passfile=${second}`, variables), 'two')
  assert.equal(passwordOf({ host: 'h', url: `passfile='${second}'` }, variables), 'two')
})

test('a password file that others may read is not read, and a warning says so', async (t) => {
  if (process.platform === 'win32') return t.skip('no permission bits on Windows')
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.after(() => process.off('warning', listen))
  for (const mode of [0o640, 0o604, 0o620]) {
    assert.equal(passwordOf('postgres://u@h', passfile(t, '*:*:*:*:zq9', mode)), undefined)
  }
  assert.equal(passwordOf('postgres://u@h', passfile(t, '*:*:*:*:fine', 0o400)), 'fine')
  assert.equal(passwordOf(`postgres://u@h?passfile=${temporaryFolder(t)}`), undefined)
  await new Promise((done) => setImmediate(done))
  assert.equal(warnings.length, 4)
  for (const warning of warnings) {
    assert.equal('code' in warning && warning.code, 'AGENT_STORE_PASSFILE')
    assert.match(warning.message, /ignored/)
    assert.doesNotMatch(warning.message, /zq9/)
  }
})

test('a password file that cannot be opened is ignored with a warning', async (t) => {
  const warned = warningCodes(t)
  const path = join(temporaryFolder(t), 'pgpass')
  fs.symlinkSync(path, path) // round and round
  assert.equal(passwordOf(`postgres://u@h?passfile=${path}`), undefined)
  assert.deepEqual(await warned(), ['AGENT_STORE_PASSFILE'])
  const missing = join(temporaryFolder(t), 'pgpass')
  assert.equal(passwordOf(`postgres://u@h?passfile=${missing}`), undefined)
  assert.deepEqual(await warned(), ['AGENT_STORE_PASSFILE'])
})

test('without HOME, the files are those of the user’s home', (t) => {
  const home = temporaryFolder(t)
  const { HOME } = process.env
  t.after(() => {
    if (HOME === undefined) delete process.env.HOME
    else process.env.HOME = HOME
  })
  process.env.HOME = home
  fs.writeFileSync(join(home, '.pgpass'), '*:*:*:*:mine', { mode: 0o600 })
  assert.equal(passwordOf('postgres://u@h', {}), 'mine')
})

test('roots and the client certificate come as text, from named files, or from home', (t) => {
  const home = temporaryFolder(t)
  fs.mkdirSync(join(home, '.postgresql'))
  const file = (name: string, text: string) => {
    const path = join(home, '.postgresql', name)
    fs.writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const tlsOf = (input: Input) => {
    const { tls } = hostOf(settle(input, { HOME: home }).hosts)
    assert.ok(tls.mode === 'verify-full')
    return [tls.serverName, tls.ca, tls.cert, tls.key?.()]
  }
  assert.deepEqual(tlsOf({ host: 'h' }), ['h', undefined, undefined, undefined])
  const root = file('root.crt', `${PEM}root`)
  const cert = file('postgresql.crt', `${PEM}cert`)
  assert.deepEqual(tlsOf({ host: 'h' }), ['h', `${PEM}root`, undefined, undefined])
  const key = file('postgresql.key', KEY)
  assert.deepEqual(tlsOf({ host: 'h' }), ['h', `${PEM}root`, `${PEM}cert`, KEY])
  assert.deepEqual(tlsOf('postgres://h?sslrootcert=system'), ['h', undefined, `${PEM}cert`, KEY])
  assert.deepEqual(
    tlsOf({ host: 'h', ca: 'system', cert: PEM, key: new TextEncoder().encode(`${KEY}own`) }),
    ['h', undefined, PEM, `${KEY}own`],
  )
  assert.deepEqual(tlsOf(`postgres://h?sslrootcert=${cert}&sslcert=${root}&sslkey=${key}`), [
    'h',
    `${PEM}cert`,
    `${PEM}root`,
    KEY,
  ])
  assert.match(messageOf(`postgres://h?sslrootcert=${file('x', 'text')}`), /holds no PEM/)
  if (process.platform === 'win32') return
  fs.chmodSync(key, 0o644)
  assert.match(messageOf({ host: 'h' }, { HOME: home }), /open to its group or others/)
  assert.ok(settle({ host: 'localhost' }, { HOME: home }))
})

test('settings cannot be changed', () => {
  const settings = settle({ host: 'h' }, env)
  const { hosts, startup } = settings
  for (const frozen of [settings, hosts, startup, hostOf(hosts), hostOf(hosts).tls]) {
    assert.ok(Object.isFrozen(frozen))
  }
})

test('nothing that prints settings shows a password or a key', () => {
  const settings = settle(
    { url: 'postgres://u:zq9@h/db', cert: PEM, key: KEY, password: 'zq9' },
    { ...env, PGPASSWORD: 'zq9' },
  )
  const shown = [
    inspect(settings, { depth: Infinity, showHidden: true, getters: true }),
    JSON.stringify(settings),
    String(settings),
    inspect(settings.hosts, { depth: Infinity, showHidden: true }),
    describe(settings, hostOf(settings.hosts)),
  ]
  for (const text of shown) assert.doesNotMatch(text, /zq9/)
})

/** Passwords whose every piece can be told from all else, around what means something in a URL. */
const password = fc
  .array(fc.constantFrom(...'@:/?#%&=,[]\\\'" +\0\ud800é$', '%4', '://', '%40'), {
    minLength: 0,
    maxLength: 4,
  })
  .map((separators) => ['', ...separators].map((separator) => `${separator}zq9`).join(''))

test('no error, however broken the string, shows a piece of a password', () => {
  const template = fc.constantFrom<(password: string) => string>(
    (p) => `postgres://u:${p}@h/db`,
    (p) => `postgres://u:${p}@h:x/db`,
    (p) => `postgres://u:${p}@h:1,[::1]/db?port=x`,
    (p) => `postgres://u:${p}@h/db?nope=1`,
    (p) => `postgres://u:${p}@/db?sslmode=prefer`,
    (p) => `postgres://:${p}@h/%zz`,
    (p) => `postgres://h/db?password=${p}`,
    (p) => `postgres://h/db?password=${p}&user=a%zz`,
    (p) => `postgres://h:x/db?password=${p}`,
    (p) => `postgres:/u:${p}@h/db`,
    (p) => `mysql://u:${p}@h/db`,
    (p) => `jdbc:postgresql://u:${p}@h/db`,
    (p) => `u:${p}@h/db`,
    (p) => `host=h password=${p}`,
    (p) => `host=h password='${p}' nope=1`,
    (p) => `host=h password=${p} sslmode=prefer`,
    (p) => `password = ${p} port=x`,
  )
  fc.assert(
    fc.property(password, template, fc.boolean(), (secret, write, encoded) => {
      const text = write(encoded ? encodeURIComponent(secret.toWellFormed()) : secret)
      assert.doesNotMatch(redact(text.replace(/^host.*|^password.*/s, '')), /zq9/)
      try {
        const settings = settle({ url: text, database: 'db' }, env)
        const shown = [
          inspect(settings, { depth: Infinity, showHidden: true }),
          JSON.stringify(settings),
        ]
        // A string may be well-formed and mean another thing: `u:1/zq9` has no password.
        if (encoded) for (const one of shown) assert.doesNotMatch(one, /zq9/)
      } catch (error) {
        assert.ok(error instanceof PolicyError, inspect(error))
        assert.doesNotMatch(inspect(error), /zq9(?!.*settle)/s)
      }
    }),
    { numRuns: 3000 },
  )
})

test('a well-formed password arrives as it is, and is never shown', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
      const secret = `zq9${text.replaceAll('\0', '')}`
      const quoted = secret.replace(/[\\']/g, '\\$&')
      for (const input of [
        `postgres://u:${encodeURIComponent(secret)}@h/db`,
        `postgres://h/db?password=${encodeURIComponent(secret)}`,
        `host=h password='${quoted}'`,
        { host: 'h', password: secret },
        { url: new URL('postgres://h'), password: () => secret },
      ]) {
        const settings = settle(input, env)
        assert.equal(settings.password(hostOf(settings.hosts)), secret)
        assert.doesNotMatch(inspect(settings, { depth: Infinity, showHidden: true }), /zq9/)
      }
    }),
  )
})
