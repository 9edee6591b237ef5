/** The text of a payload: plain, or said in a message of one of the known shapes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textOf } from 'agent-store/recall'
import { utf8 } from '../support.ts'

const said = (message: unknown) => textOf(utf8(JSON.stringify(message)))

test('UTF-8 stands for itself; other bytes and blanks say nothing', () => {
  assert.equal(textOf(utf8('hello {world}')), 'hello {world}')
  assert.equal(textOf(utf8('{ not json')), '{ not json')
  assert.equal(textOf(Uint8Array.of(0xff, 0xfe)), undefined)
  assert.equal(textOf(utf8(' \n ')), undefined)
  assert.equal(textOf(new Uint8Array()), undefined)
})

test('messages of OpenAI', () => {
  assert.equal(said({ role: 'user', content: 'hi' }), 'hi')
  assert.equal(
    said({
      role: 'assistant',
      content: null,
      tool_calls: [
        {
          id: 'call_1',
          type: 'function',
          function: { name: 'grep', arguments: '{"for":"needle"}' },
        },
      ],
    }),
    'grep\nneedle',
  )
  assert.equal(said({ role: 'tool', tool_call_id: 'call_1', content: 'found' }), 'found')
  const parts = [
    { type: 'text', text: 'what is this' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
  ]
  assert.equal(said({ role: 'user', content: parts }), 'what is this')
})

test('messages of Anthropic', () => {
  const content = [
    { type: 'thinking', thinking: 'let me look', signature: 'AbCd' },
    { type: 'tool_use', id: 'toolu_1', name: 'bash', input: { command: 'ls -la' } },
  ]
  assert.equal(said({ role: 'assistant', content }), 'let me look\nbash\nls -la')
  const result = {
    type: 'tool_result',
    tool_use_id: 'toolu_1',
    content: [{ type: 'text', text: 'x' }],
  }
  assert.equal(said({ role: 'user', content: [result] }), 'x')
})

test('messages of the Vercel AI SDK', () => {
  const parts = [
    { type: 'text', text: 'searching', state: 'done' },
    {
      type: 'tool-search',
      toolCallId: 'c1',
      state: 'output-available',
      input: { q: 'flag' },
      output: { lines: ['flag{1}'] },
    },
  ]
  assert.equal(said({ id: 'msg_1', role: 'assistant', parts }), 'searching\nflag\nflag{1}')
  const content = [
    {
      type: 'tool-result',
      toolCallId: 'c1',
      toolName: 'sum',
      output: { type: 'text', value: '42' },
    },
  ]
  assert.equal(said({ role: 'tool', content }), 'sum\n42')
})

test('what is said twice in a message counts once, and nothing said is nothing', () => {
  assert.equal(said({ thought: 'run it', content: 'run it\nls', action: 'ls' }), 'run it\nls')
  assert.equal(said({ role: 'user' }), undefined)
  assert.equal(said([]), undefined)
  assert.equal(said('plain'), 'plain')
})

test('what is within a word of the message is not said by it', () => {
  const call = (name: string, input: unknown) => ({ type: 'tool_use', name, input })
  assert.equal(
    said({ content: 'The location was used', tool_calls: [call('cat', { cmd: 'sed' })] }),
    'The location was used\ncat\nsed',
  )
  assert.equal(said({ content: 'location', action: 'cat' }), 'location\ncat')
  assert.equal(said({ content: 'I run `cat x`', action: 'cat x' }), 'I run `cat x`')
  assert.equal(said({ thought: 'same', other: 'same' }), 'same')
})

test('what is written to a tool counts, whatever it is called there', () => {
  const input = { data: 'secret plan', state: 'failed', deeper: [{ id: 'x7' }] }
  assert.equal(
    said({ type: 'tool_use', id: 'no', name: 'write', input }),
    'write\nsecret plan\nfailed\nx7',
  )
})

test('a message of very many texts takes no time', () => {
  const texts = Array.from({ length: 100_000 }, (_, i) => `text ${i}`)
  const start = performance.now()
  assert.equal(said({ content: 'x'.repeat(100_000), texts })?.split('\n').length, 100_001)
  const members = Object.fromEntries(texts.map((text) => [text, text]))
  assert.equal(said({ content: 'x'.repeat(100_000), ...members })?.split('\n').length, 100_001)
  assert.ok(performance.now() - start < 10_000)
})
