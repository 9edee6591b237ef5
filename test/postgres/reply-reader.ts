/**
 * Where a server's reply ends, in a stream of PostgreSQL's protocol version 3: at a
 * `ReadyForQuery` with nothing behind it. Only as much is read as that takes.
 *
 * @module
 */

const HEADER_BYTES = 5
const [SECURE, PLAIN, READY] = Buffer.from('SNZ')

/**
 * Takes what a server sends on one connection, in any pieces.
 * @returns whether a reply is complete with this piece. Never, under TLS.
 */
export function replyReader(): (chunk: Buffer) => boolean {
  let begun = false
  let isSecure = false
  let header = Buffer.alloc(0)
  let type: number | undefined
  let left = 0

  return (chunk) => {
    const [first] = chunk
    // The answer to a request for TLS is one byte, and not a message.
    if (!begun && chunk.length === 1 && (first === SECURE || first === PLAIN)) {
      isSecure = first === SECURE
      begun = isSecure
      return false
    }
    begun = true
    if (isSecure) return false
    let at = 0
    while (at < chunk.length) {
      const start = at
      if (left > 0) {
        at = Math.min(at + left, chunk.length)
        left -= at - start
        continue
      }
      at = Math.min(at + HEADER_BYTES - header.length, chunk.length)
      header = Buffer.concat([header, chunk.subarray(start, at)])
      if (header.length < HEADER_BYTES) continue
      type = header[0]
      left = header.readInt32BE(1) - 4 // its length counts itself
      header = Buffer.alloc(0)
    }
    return type === READY && left === 0 && header.length === 0
  }
}
