/**
 * The text of a payload, where the consumer does not say otherwise: UTF-8 as it stands, or, of
 * a JSON message, what was said in it.
 *
 * Knows the messages of OpenAI (`content` as text or parts, `tool_calls`), of Anthropic
 * (`content` blocks, `tool_use`, `tool_result`) and of the Vercel AI SDK (`content` parts,
 * `parts`) by shape: every text in them counts, except what only names, numbers or encodes.
 *
 * @module
 */

/** Members whose text is not said by anybody: names of things, and bytes in disguise. */
const SILENT = new Set([
  'agent',
  'call_id',
  'cache_control',
  'created',
  'created_at',
  'data',
  'encrypted_content',
  'file_id',
  'finish_reason',
  'format',
  'id',
  'image',
  'image_url',
  'index',
  'mediaType',
  'media_type',
  'message_type',
  'mimeType',
  'model',
  'object',
  'providerMetadata',
  'role',
  'signature',
  'state',
  'stop_reason',
  'timestamp',
  'toolCallId',
  'tool_call_id',
  'tool_call_ids',
  'tool_use_id',
  'type',
  'usage',
  'uuid',
])
const MOST_DEPTH = 64

const decoder = new TextDecoder('utf-8', { fatal: true })

/** The text of a payload; `undefined` where it holds none: no UTF-8, or nothing said. */
export function textOf(payload: Uint8Array): string | undefined {
  let text: string
  try {
    text = decoder.decode(payload)
  } catch {
    return undefined
  }
  const value = parsed(text)
  if (value === undefined) return text.trim() === '' ? undefined : text
  const said: string[] = []
  collect(value, said, 0)
  return said.length === 0 ? undefined : said.join('\n')
}

/** What a JSON document holds; `undefined` for other text. */
function parsed(text: string): unknown {
  if (!/^\s*[{["]/.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function collect(value: unknown, said: string[], depth: number): void {
  if (typeof value === 'string') {
    // Some agents keep a part of a message once more beside it.
    if (value.trim() !== '' && !said.some((text) => text.includes(value.trim()))) {
      said.push(value.trim())
    }
    return
  }
  if (typeof value !== 'object' || value === null || depth > MOST_DEPTH) return
  if (Array.isArray(value)) {
    for (const part of value) collect(part, said, depth + 1)
    return
  }
  const entries = Object.entries(value)
  // The message itself comes first, so that what repeats it is seen to.
  entries.sort(([a], [b]) => Number(b === 'content') - Number(a === 'content'))
  for (const [name, part] of entries) {
    if (name === 'arguments' && typeof part === 'string') {
      const values = parsed(part)
      collect(values === undefined ? part : values, said, depth + 1)
    } else if (!SILENT.has(name)) collect(part, said, depth + 1)
  }
}
