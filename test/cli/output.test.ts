/** What commands print: in buffers, in columns, and readable on a terminal. */
import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { dim, Output, preview, printable, printableName, size } from '../../src/cli/output.ts'
import { temporaryFile, utf8 } from '../support.ts'

/** All that `print` prints. */
function printed(t: TestContext, print: (out: Output) => void): string {
  const file = temporaryFile(t)
  const fd = openSync(file, 'w')
  const out = new Output(fd)
  print(out)
  out.flush()
  closeSync(fd)
  return readFileSync(file, 'utf8')
}

test('lines come out in their order, also when there are many', (t) => {
  const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i} ${'x'.repeat(50)}`)
  const print = (out: Output) => {
    for (const line of lines) out.line(line)
  }
  assert.equal(printed(t, print), `${lines.join('\n')}\n`)
})

test('a descriptor that takes nothing is an error', (t) => {
  const fd = openSync(temporaryFile(t), 'w')
  closeSync(fd)
  const out = new Output(fd)
  out.line('lost')
  assert.throws(() => out.flush(), { code: 'EBADF' })
})

test('columns are as wide as what is in them, and the last one is not padded', (t) => {
  const rows = [
    ['a', 'long enough', 'x'],
    ['much longer', 'b', 'y'],
  ]
  assert.equal(
    printed(t, (out) => out.table(['one', 'two', 'three'], rows)),
    `${dim('one          two          three')}\na            long enough  x\nmuch longer  b            y\n`,
  )
})

test('nothing in a text moves the cursor or turns the direction of writing', () => {
  assert.equal(printable('a\tb\nc\u001b[2J\u202e'), 'a b⏎c\\u001b[2J\\u202e')
  assert.equal(printable('abcdef', 4), 'abc…')
  assert.equal(printableName(''), '""')
})

test('a payload is shown as text where it is text, also where it is cut within a character', () => {
  assert.equal(preview(utf8('plain'), 24), 'plain')
  assert.equal(preview(utf8(`a${'é'.repeat(100)}`), 24), `a${'é'.repeat(22)}…`)
  assert.equal(preview(Uint8Array.of(0xff, 0xfe), 24), '0xfffe')
})

test('a size is shown in the largest unit that it reaches', () => {
  assert.equal(size(0), '0 B')
  assert.equal(size(1_023), '1023 B')
  assert.equal(size(1_024), '1.0 KiB')
  assert.equal(size(5 * 2 ** 20), '5.0 MiB')
  assert.equal(size(1.5 * 2 ** 30), '1.5 GiB')
  assert.equal(size(3_000 * 2 ** 40), '3000.0 TiB')
})
