/**
 * PostgreSQL's older password exchange, for servers that still store MD5 hashes.
 *
 * Who sees the stored hash can log in with it, and the server proves nothing: prefer SCRAM.
 *
 * @module
 */
import { crypto } from '../crypto.ts'

/**
 * The answer to a request for an MD5 password: `md5` and 32 hex digits.
 * @param salt The four bytes that the server sent.
 */
export function md5Password(user: string, password: string, salt: Uint8Array): string {
  const { createHash } = crypto()
  const inner = createHash('md5').update(password).update(user).digest('hex')
  return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`
}
