/**
 * Text as words: the same for what is indexed and for what is asked, and the same on every
 * database, which only ever sees letters and digits.
 *
 * - Case, accents and compatibility forms are folded (`Übersetzung` is `ubersetzung`, `ﬁ` is `fi`).
 * - A name is found by its parts and as a whole: `FUN_004016ba`, `readFileSync`, `src/fields.py`.
 * - Scripts that put no spaces between words (Chinese, Japanese, Thai and their neighbours) are
 *   cut into overlapping pairs of letters, so that any two letters in a row are found.
 * - English plurals, `-ing` and `-ed` are taken off, on both sides alike.
 *
 * @module
 */

/** Longer runs of letters are data, not words: keys, hashes, base64. */
const MOST_LETTERS = 40
/** Words taken of one entry; what comes behind is not found. */
const MOST_WORDS = 20_000
/** Characters looked at in one entry. */
const MOST_TEXT = 1_000_000
/** Different words taken of one question. */
const MOST_ASKED = 64

// Underlines hold a name together; marks belong to the letters before them.
const RUN = /[\p{L}\p{N}\p{M}_]+/gu
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u
const UNSPACED_RUN =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}ー\p{M}]+/gu
const ACCENTS = /(?<=[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{M}+/gu
/** Where a name's parts meet: `readFile`, `HTTPServer`, `utf8Text`. */
const HUMP = /(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u
/** More marks on one letter than any language has; to compose them takes the square of their number. */
const MARKS = /(\p{M}{30})\p{M}+/gu
const ASCII = /^[\x20-\x7e\s]*$/

/** English words that say nothing of what a text is about; in a question they are left out. */
const STOP = new Set(
  (
    'a about all am an and any are as at be been being but by can could did do does for from had has have he her his ' +
    'how i if in into is it its let may me might my no not of on or our shall she should so some than that the their ' +
    'them then there these they this those to us was we were what when where which who whom whose why will with ' +
    'would you your'
  )
    .split(' ')
    .map(stem),
)

/** One word of a question. */
export interface AskedWord {
  readonly word: string
  /** Any word that begins with it will do: it was typed with a `*` behind. */
  readonly isPrefix: boolean
}

/** The words of a text, in their order. */
export function wordsOf(text: string): string[] {
  const words: string[] = []
  const taken = text.length > MOST_TEXT ? text.slice(0, MOST_TEXT) : text
  for (const [run] of folded(taken).matchAll(RUN)) {
    addRun(run, words)
    if (words.length >= MOST_WORDS) return words.slice(0, MOST_WORDS)
  }
  return words
}

/**
 * The words of a question, each once. Words that are in every text are left out, unless there
 * are no others.
 */
export function askedWords(text: string): AskedWord[] {
  const asked = new Map<string, AskedWord>()
  const plain = folded(text.slice(0, MOST_TEXT))
  for (const match of plain.matchAll(RUN)) {
    const isPrefix = plain[match.index + match[0].length] === '*' && !UNSPACED.test(match[0])
    const words: string[] = []
    if (isPrefix) words.push(...beginningOf(match[0]))
    else addRun(match[0], words)
    for (const word of words) {
      if (asked.size < MOST_ASKED && asked.get(word)?.isPrefix !== true) {
        asked.set(word, { word, isPrefix })
      }
    }
  }
  const all = [...asked.values()]
  const telling = all.filter(({ word, isPrefix }) => isPrefix || !STOP.has(word))
  return telling.length > 0 ? telling : all
}

/** Composed, without accents; the case stays, since it shows where the parts of a name meet. */
function folded(text: string): string {
  if (ASCII.test(text)) return text
  return text.replace(MARKS, '$1').normalize('NFKD').replace(ACCENTS, '').normalize('NFC')
}

function addRun(run: string, words: string[]): void {
  if (UNSPACED.test(run)) {
    let at = 0
    for (const match of run.matchAll(UNSPACED_RUN)) {
      addName(run.slice(at, match.index), words)
      addPairs(match[0], words)
      at = match.index + match[0].length
    }
    addName(run.slice(at), words)
  } else addName(run, words)
}

function addName(run: string, words: string[]): void {
  for (const name of run.split('_')) {
    if (name === '') continue
    const parts = name.split(HUMP)
    for (const part of parts) addWord(part, words)
    if (parts.length > 1) addWord(name, words)
  }
  if (run.includes('_')) addWord(run.replaceAll('_', ''), words)
}

function addWord(part: string, words: string[]): void {
  if (part.length === 0 || part.length > MOST_LETTERS) return
  words.push(stem(part.toLowerCase()))
}

function addPairs(run: string, words: string[]): void {
  const letters = [...run]
  if (letters.length === 1) words.push(run)
  for (let i = 1; i < letters.length; i++) words.push(`${letters[i - 1]}${letters[i]}`)
}

/** What all words that begin like `run` have in common, as they are kept: without their endings. */
function beginningOf(run: string): string[] {
  const word = run.replaceAll('_', '').toLowerCase()
  if (word === '' || word.length > MOST_LETTERS) return []
  const stemmed = stem(word)
  let length = 0
  while (length < stemmed.length && stemmed[length] === word[length]) length++
  return [word.slice(0, length)]
}

/** So little that it harms no other language much, and does the same to a question. */
function stem(word: string): string {
  if (word.length < 4 || !/[a-z]$/.test(word)) return word
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`
  if (/(?:ss|sh|ch|x|z)es$/.test(word)) return word.slice(0, -2)
  let root = word
  if (/[^su]s$/.test(word)) root = word.slice(0, -1)
  else if (/[aeiouy].*ing$/.test(word)) root = word.slice(0, -3)
  else if (/[aeiouy].*ed$/.test(word) && word.length > 4) root = word.slice(0, -2)
  if (root.length < 3) return word
  if (root !== word && /([bdgmnprt])\1$/.test(root)) root = root.slice(0, -1)
  // `fixing`, `fixed`, `fixes` and `use`, `using`, `used` meet without their e.
  return root.length > 3 && root.endsWith('e') ? root.slice(0, -1) : root
}
