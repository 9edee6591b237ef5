/**
 * The words of a connection string, by libpq's names, from the three places that libpq
 * takes them from: a URL, a list of `keyword=value`, and the `PG…` environment variables.
 *
 * An error here may name a keyword, never a part of the text that could be a password.
 *
 * @module
 */
import { PolicyError } from '../../index.ts'

/** What a connection string can say. */
const WORDS = [
  'host',
  'hostaddr',
  'port',
  'dbname',
  'user',
  'password',
  'passfile',
  'application_name',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connect_timeout',
  'target_session_attrs',
  'options',
  'channel_binding',
] as const

/** The name of one thing that a connection string can say. */
export type Word = (typeof WORDS)[number]

/** A word's value, and under which name it was said: `sslmode`, or `PGSSLMODE`. */
export interface Said {
  readonly value: string
  readonly from: string
}

/** What was said. */
export type Words = Map<Word, Said>

const VARIABLES: readonly (readonly [variable: string, word: Word])[] = [
  ['PGHOST', 'host'],
  ['PGHOSTADDR', 'hostaddr'],
  ['PGPORT', 'port'],
  ['PGDATABASE', 'dbname'],
  ['PGUSER', 'user'],
  ['PGPASSWORD', 'password'],
  ['PGPASSFILE', 'passfile'],
  ['PGAPPNAME', 'application_name'],
  ['PGSSLMODE', 'sslmode'],
  ['PGSSLROOTCERT', 'sslrootcert'],
  ['PGSSLCERT', 'sslcert'],
  ['PGSSLKEY', 'sslkey'],
  ['PGCONNECT_TIMEOUT', 'connect_timeout'],
  ['PGTARGETSESSIONATTRS', 'target_session_attrs'],
  ['PGOPTIONS', 'options'],
  ['PGCHANNELBINDING', 'channel_binding'],
]

/** The words that the environment says. */
export function wordsOfEnvironment(env: NodeJS.ProcessEnv): Words {
  const words: Words = new Map()
  for (const [variable, word] of VARIABLES) {
    const value = env[variable]
    if (value) words.set(word, { value, from: variable })
  }
  return words
}

// libpq's own grammar: a value is quoted, or runs to the next blank; a backslash takes the
// character after it as it is. Blanks are those of C, so that a no-break space is text.
const PAIR =
  /[ \t\n\r\f\v]*([^= \t\n\r\f\v]+)[ \t\n\r\f\v]*=[ \t\n\r\f\v]*(?:'((?:\\.|[^'\\])*)'|(?!')((?:\\.?|[^\\ \t\n\r\f\v])*))/sy

/**
 * The words of `host=… port=…`.
 * @throws PolicyError for text of another form, or an unknown keyword.
 */
export function wordsOfPairs(text: string): Words {
  const words: Words = new Map()
  const pairs = new RegExp(PAIR)
  let at = 0
  while (/[^ \t\n\r\f\v]/.test(text.slice(at))) {
    const pair = pairs.exec(text)
    if (pair === null) {
      throw new PolicyError(
        `a connection string must be keyword=value words, with a value that holds blanks ` +
          `in single quotes; this one is not from character ${at + 1} on`,
      )
    }
    at = pairs.lastIndex
    const [, name = '', quoted, plain = ''] = pair
    const value = (quoted ?? plain).replace(/\\(.?)/gs, '$1')
    setWord(words, name, value, 'keyword in the connection string')
  }
  return words
}

/**
 * Add a word to those that the same list said before it.
 * @throws PolicyError for an unknown word; it lists the known ones.
 */
export function setWord(words: Words, name: string, value: string, kind: string): void {
  if (!isWord(name)) {
    // After a password that was not quoted, or in odd text, the "name" may be a part of one.
    const isTold = /^\w+$/.test(name) && !words.has('password')
    throw new PolicyError(
      `unknown ${kind}${isTold ? `: ${shown(name)}` : ''}; known are ${WORDS.join(', ')}`,
    )
  }
  words.set(name, { value, from: name })
}

/** A value as an error shows it: quoted and bounded. Never pass a secret. */
export function shown(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 200 ? `${value.slice(0, 200)}…` : value)
  }
  return typeof value === 'object' && value !== null
    ? Object.prototype.toString.call(value)
    : typeof value === 'function'
      ? 'a function'
      : String(value)
}

function isWord(name: string): name is Word {
  return WORDS.some((word) => word === name)
}
