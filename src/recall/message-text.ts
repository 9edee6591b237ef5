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
/** What was written to a tool is said, whatever its members are called. */
const WRITTEN = new Set(['input', 'arguments', 'args'])
const MOST_DEPTH = 64
/** Members of one message that are looked for in its `content`. */
const MOST_COMPARED = 16

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
  const said = new Said()
  said.collect(value, 0, false)
  return said.texts.size === 0 ? undefined : [...said.texts].join('\n')
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

/** The texts of a message, each once. */
class Said {
  readonly texts = new Set<string>()

  /** @param isWritten Whether it is within what was written to a tool. */
  collect(value: unknown, depth: number, isWritten: boolean): void {
    if (typeof value === 'string') {
      const text = value.trim()
      if (text !== '') this.texts.add(text)
      return
    }
    if (typeof value !== 'object' || value === null || depth > MOST_DEPTH) return
    if (Array.isArray(value)) {
      for (const part of value) this.collect(part, depth + 1, isWritten)
      return
    }
    const { content, ...others } = value as Record<string, unknown>
    this.collect(content, depth + 1, isWritten)
    let compared = 0
    for (const [name, part] of Object.entries(others)) {
      if (WRITTEN.has(name)) {
        const values = typeof part === 'string' ? parsed(part) : undefined
        this.collect(values === undefined ? part : values, depth + 1, true)
      } else if (isWritten || !SILENT.has(name)) {
        // Some agents keep a part of a message once more beside it.
        const isWithin =
          typeof content === 'string' &&
          typeof part === 'string' &&
          compared++ < MOST_COMPARED &&
          hasWords(content, part.trim())
        if (!isWithin) this.collect(part, depth + 1, isWritten)
      }
    }
  }
}

/** Whether `part` is in `text`, and not within a word of it. */
function hasWords(text: string, part: string): boolean {
  const at = text.indexOf(part)
  if (at < 0) return false
  return (
    !isInWord(text.slice(at - 1, at + 1)) &&
    !isInWord(text.slice(at + part.length - 1, at + part.length + 1))
  )
}

/** Two letters or digits, with no boundary between them. */
function isInWord(pair: string): boolean {
  return /^[\p{L}\p{N}\p{M}]{2}$/u.test(pair)
}
