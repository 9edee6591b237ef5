/** An embedder that is somebody's program: one line in, one line out, and what may go wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { embedCommand } from '../../src/cli/embed-command.ts'

const signal = new AbortController().signal
/** What the command gives for two texts. */
async function vectorsOf(command: string): Promise<unknown> {
  using embedder = embedCommand(command, 'model')
  return await embedder.embed(['one', 'two\nlines'], signal)
}

test('each text is a line for it, and each line of it a vector', async () => {
  assert.deepEqual(await vectorsOf(`while read -r text; do echo "[\${#text}, 1.5]"; done`), [
    [5, 1.5],
    [12, 1.5],
  ])
})

test('a program that ends before it has answered is named with how it ended', async () => {
  const ended = { message: 'the command of --embed ended with 7' }
  await assert.rejects(vectorsOf('exit 7'), ended)
  await assert.rejects(vectorsOf('read -r text; echo "[1]"; exit 7'), ended)
  await assert.rejects(vectorsOf('kill -9 $$'), /ended with SIGKILL/)
})

test('a line that is no vector is shown', async () => {
  for (const line of ['nonsense', '{"vector":[1]}', '[1,"2"]']) {
    await assert.rejects(vectorsOf(`echo '${line}'; cat > /dev/null`), {
      name: 'TypeError',
      message: `the command of --embed must print a JSON array of numbers a line, got ${JSON.stringify(line)}`,
    })
  }
})

test('after a line that is no vector it is not asked again, so no answer is taken for another', async () => {
  using embedder = embedCommand(
    `echo 'loading the model'; while read -r text; do echo '[1]'; done`,
    'model',
  )
  const said = { name: 'TypeError', message: /got "loading the model"/ }
  await assert.rejects(embedder.embed(['one'], signal), said)
  await assert.rejects(embedder.embed(['two'], signal), said)
})
