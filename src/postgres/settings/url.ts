/**
 * Connection URLs as libpq reads them: `postgres://user:password@h1:5432,h2/db?sslmode=…`.
 *
 * The URL class of the platform knows one host only, so it is not of use here. Every error
 * shows the URL without its password, also where a URL is too broken to say what that is.
 * For that, it is stricter than libpq in what could be read in two ways: a user or password
 * ends at the last '@' before the path, not at the first, and no bare '@' may follow.
 *
 * @module
 */
import { PolicyError } from '../../index.ts'
import { setWord, shown, type Word, type Words, wordsOfPairs } from './keywords.ts'

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i
const HOST = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(.*))?$/s

/**
 * The words of a URL, or of a list of `keyword=value`. A word said twice is what was said
 * last; one with an empty value is not said.
 * @throws PolicyError for text that is neither, or says what is not known.
 */
export function wordsOfConnectionString(text: string): Words {
  const words = [...allWords(text)].filter(([, { value }]) => value !== '')
  return new Map(words)
}

function allWords(text: string): Words {
  if (/^postgres(?:ql)?:\/\//i.test(text)) return wordsOfUrl(text)
  if (/^\s*\w+\s*=/.test(text)) return wordsOfPairs(text)
  throw new PolicyError(
    'a connection string must start with postgres:// or postgresql://, or be keyword=value ' +
      `words, got ${shown(redact(text))}`,
  )
}

/** @throws PolicyError for a malformed URL, or an unknown parameter. */
function wordsOfUrl(url: string): Words {
  const refusal = (why: string) => new PolicyError(`${why}, in ${shown(redact(url))}`)
  const decode = (text: string, what: string): string => {
    const decoded = decodeUtf8(text)
    if (decoded === undefined) throw refusal(`${what} is not well percent-encoded UTF-8`)
    return decoded
  }
  const rest = url.replace(SCHEME, '')
  const end = rest.search(/[/?]|$/)
  const tail = rest.slice(end)
  const at = rest.lastIndexOf('@', end)
  // A password with a bare '/' or '?' would be read as a host and a port, and then shown.
  if (rest.slice(0, end).includes(':') && tail.includes('@')) {
    throw refusal("an '@' after the host; write '@', '/' and '?' in a value as %40, %2F, %3F")
  }
  const words: Words = new Map()
  const set = (word: Word, value: string) => words.set(word, { value, from: word })
  const login = rest.slice(0, Math.max(at, 0))
  const colon = login.search(/:|$/)
  set('user', decode(login.slice(0, colon), 'the user'))
  set('password', decode(login.slice(colon + 1), 'the password'))

  const hosts = hostsOf(rest.slice(at + 1, end))
  if (hosts === undefined) throw refusal('a host or a port (1 to 65535) is malformed')
  set('host', decode(hosts.map(({ host }) => host).join(','), 'the host'))
  set('port', hosts.map(({ port }) => port).join(','))

  const question = tail.search(/\?|$/)
  set('dbname', decode(tail.slice(1, Math.max(question, 1)), 'the database'))
  for (const [word, said] of wordsOfQuery(tail.slice(question + 1), decode, refusal)) {
    words.set(word, said)
  }
  return words
}

/** The words after the '?'. */
function wordsOfQuery(
  query: string,
  decode: (text: string, what: string) => string,
  refusal: (why: string) => PolicyError,
): Words {
  const words: Words = new Map()
  for (const parameter of query.split('&').filter((text) => text !== '')) {
    const [name = '', value, more] = parameter.split('=')
    if (value === undefined || more !== undefined) {
      throw refusal("a parameter is not name=value; write '=' and '&' in a value as %3D, %26")
    }
    const word = decode(name, 'the name of a parameter')
    setWord(words, word, decode(value, 'a parameter'), 'parameter in the connection URL')
  }
  return words
}

/** Host and port texts of `h1:5432,[::1],h3`; `undefined` where that is not what it is. */
function hostsOf(text: string): { host: string; port: string }[] | undefined {
  const hosts: { host: string; port: string }[] = []
  for (const part of text.split(',')) {
    const [whole, literal, name = '', port = ''] = HOST.exec(part) ?? []
    if (whole === undefined || literal === '') return undefined
    if (port !== '' && portOf(port) === undefined) return undefined
    hosts.push({ host: literal ?? name, port })
  }
  return hosts
}

/** A port from 1 to 65535; `undefined` for other text. */
export function portOf(text: string): number | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}

/** Percent-decoded; `undefined` where that is not possible, or gives a NUL. */
function decodeUtf8(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text)
    return decoded.includes('\0') ? undefined : decoded
  } catch {
    return undefined
  }
}

/**
 * A connection string without what is, or could be, a password in it. Where the text is
 * malformed it rather hides too much: the query always, all from the first ':' to the last
 * '@', and all after where no '@' tells a password from a port.
 */
export function redact(text: string): string {
  const scheme = SCHEME.exec(text)?.[0] ?? ''
  const rest = text.slice(scheme.length)
  const at = rest.lastIndexOf('@')
  const login = rest.slice(0, Math.max(at, 0))
  const user = login.slice(0, login.search(/[:/?=]|$/))
  if (login.includes('?')) return `${scheme}${user}***`
  const secret = user === login ? '' : ':***'
  const place = rest.slice(at + 1)
  const authority = place.slice(0, place.search(/[/?]|$/))
  const shownPlace = hostsOf(authority)
    ? place.replace(/\?.*/s, '?***')
    : `${authority.slice(0, authority.search(/:|$/))}:***`
  return `${scheme}${user}${secret}${at < 0 ? '' : '@'}${shownPlace}`
}
