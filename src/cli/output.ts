/**
 * Standard output for commands that may print millions of lines: buffered, synchronous
 * (so memory stays bounded), quiet when the reader goes away, and safe for terminals.
 *
 * @module
 */
import { writeSync } from 'node:fs'
import { styleText } from 'node:util'

const BUFFER_CHARS = 64 * 1024
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Where a command prints. */
export class Output {
  readonly #fd: number
  #buffer = ''

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Print a line, sooner or later; {@link Output.flush} is sooner. */
  line(text = ''): void {
    this.#buffer += `${text}\n`
    if (this.#buffer.length > BUFFER_CHARS) this.flush()
  }

  flush(): void {
    let bytes = Buffer.from(this.#buffer)
    this.#buffer = ''
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(this.#fd, bytes))
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined
        if (code === 'EPIPE') process.exit() // `| head` has seen enough
        if (code !== 'EAGAIN') throw error
        Atomics.wait(sleeper, 0, 0, 1)
      }
    }
  }

  /** Rows under a heading, in columns; the last one is not padded. */
  table(heading: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = heading.map((title, i) =>
      Math.max(title.length, ...rows.map((r) => (r[i] ?? '').length)),
    )
    const format = (row: readonly string[]) =>
      row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ')
    this.line(dim(format(heading)))
    for (const row of rows) this.line(format(row))
  }
}

/** For a heading or an aside. */
export function dim(text: string): string {
  return styleText('dim', text, { stream: process.stdout })
}

/** For what matters. */
export function strong(text: string): string {
  return styleText('bold', text, { stream: process.stdout })
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text in `bytes`, or undefined where they are no UTF-8. */
export function asText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

// Built from text, so that no editor shows (or hides) the characters themselves: controls,
// line separators, and the marks that turn the direction of writing.
const UNPRINTABLE = new RegExp(
  `[${['0000-001f', '007f-009f', '2028-202e', '2066-2069']
    .map((range) => range.replace(/[0-9a-f]{4}/g, '\\u$&'))
    .join('')}]`,
  'g',
)

/** Text for one line of a terminal: no control characters, at most `width` long. */
export function printable(text: string, width: number = Number.POSITIVE_INFINITY): string {
  const plain = text.replace(UNPRINTABLE, (character) => {
    if (character === '\n') return '⏎'
    if (character === '\t') return ' '
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return plain.length > width ? `${plain.slice(0, width - 1)}…` : plain
}

/** A name as a table shows it; the empty one is visible. */
export function printableName(name: string): string {
  return name === '' ? '""' : printable(name)
}

/** A payload as a table shows it. */
export function preview(payload: Uint8Array, width: number): string {
  const text = asText(payload.subarray(0, 4 * width + 4))
  if (text !== undefined) return printable(text, width)
  // A character may be cut at the end of what was looked at.
  const shorter = [1, 2, 3].map((cut) => asText(payload.subarray(0, 4 * width + 4 - cut)))
  const found = shorter.find((candidate) => candidate !== undefined)
  return found !== undefined && payload.length > 4 * width
    ? printable(found, width)
    : `0x${Buffer.from(payload.subarray(0, width / 2 - 2)).toString('hex')}`
}

/** `1,234,567`. */
export function count(value: number | bigint): string {
  return value.toLocaleString('en-US')
}

/** `1 entry`, `2 entries`; `many` is `one` with an s where it is not said. */
export function counted(value: number | bigint, one: string, many: string = `${one}s`): string {
  return `${count(value)} ${BigInt(value) === 1n ? one : many}`
}

/** A number of bytes in a unit that fits. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${value.toFixed(1)} ${units[unit]}`
}
