/**
 * The client of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, by RFC 5802 and RFC 7677, as
 * PostgreSQL speaks it: neither side shows the password, and both prove that they know it.
 *
 * Three messages go by: {@link ScramClient.first}, {@link ScramClient.final} in answer to
 * the server's first, and {@link ScramClient.verify} of the server's final. A connection
 * whose server was not verified is not authenticated, whatever the server says next.
 *
 * @module
 */
import { crypto } from '../crypto.ts'
import { saslprep } from './saslprep.ts'

/** The mechanisms spoken here. PLUS binds the proof to the TLS channel. */
export type ScramMechanism = 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS'

/** The exchange failed: a malformed message, a server that cannot prove itself, a bad offer. */
export class ScramError extends Error {
  override get name(): string {
    return 'ScramError'
  }
}

/** What an exchange starts from. */
export interface ScramOptions {
  /** Prepared by SASLprep where that is possible, as the server does. */
  readonly password: string
  /** The mechanisms that the server offers. */
  readonly offered: readonly string[]
  /**
   * The hash of the server's certificate (`tls-server-end-point`). `undefined` without TLS,
   * and where the certificate has none.
   */
  readonly endPoint: Uint8Array | undefined
  /** Whether to bind to the TLS channel. Default `'prefer'`. */
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined
  /** Default empty: PostgreSQL takes the name from the startup packet. */
  readonly user?: string | undefined
  /** Printable ASCII without a comma. Default: 18 random bytes, in base64. */
  readonly nonce?: string | undefined
}

/** More iterations than this would block the process for longer than a connect may take. */
const MAX_ITERATIONS = 10_000_000

const SERVER_FIRST =
  /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9][0-9]{0,9})(?:,[A-Za-z]=[^,]*)*$/
const SERVER_FINAL = /^v=([A-Za-z0-9+/]+={0,2})(?:,[A-Za-z]=[^,]*)*$/

/** One exchange, to be used once and in order. */
export class ScramClient {
  /** The mechanism to name to the server. */
  readonly mechanism: ScramMechanism
  readonly #password: string
  readonly #nonce: string
  readonly #header: string
  readonly #endPoint: Uint8Array
  readonly #firstBare: string
  #step: 'first' | 'final' | 'verify' | 'verified' | 'failed' = 'first'
  #signature: Uint8Array = new Uint8Array(0)

  /** @throws ScramError when the server offers none of the mechanisms, or not the required one. */
  constructor(options: ScramOptions) {
    const { password, offered, endPoint, channelBinding = 'prefer', user = '' } = options
    this.mechanism = chooseMechanism(offered, endPoint, channelBinding)
    this.#password = password
    this.#nonce = options.nonce ?? crypto().randomBytes(18).toString('base64')
    const isBound = this.mechanism === 'SCRAM-SHA-256-PLUS'
    this.#endPoint = isBound && endPoint ? endPoint : new Uint8Array(0)
    // 'y' says: I could bind, but you did not offer to. A server that did offer, to one in
    // the middle who took the offer out, refuses it.
    const couldBind = channelBinding !== 'disable' && endPoint !== undefined
    this.#header = isBound ? 'p=tls-server-end-point,,' : couldBind ? 'y,,' : 'n,,'
    const name = user.replaceAll('=', '=3D').replaceAll(',', '=2C')
    this.#firstBare = `n=${name},r=${this.#nonce}`
  }

  /** Whether the exchange is complete and bound to the TLS channel. */
  get isChannelBound(): boolean {
    return this.#step === 'verified' && this.mechanism === 'SCRAM-SHA-256-PLUS'
  }

  /** The client's first message. */
  first(): Uint8Array {
    this.#advance('first', 'final')
    return Buffer.from(this.#header + this.#firstBare)
  }

  /**
   * The client's final message, with its proof. It takes the time of the iterations that the
   * server asks for: about a millisecond for the usual 4,096.
   * @throws ScramError for a malformed message, another nonce, or over 10,000,000 iterations.
   */
  final(serverFirst: Uint8Array): Uint8Array {
    this.#advance('final', 'failed')
    const message = Buffer.from(serverFirst).toString()
    const { nonce, salt, iterations } = readServerFirst(message)
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw new ScramError("the server's nonce does not continue the client's")
    }
    const binding = Buffer.concat([Buffer.from(this.#header), this.#endPoint]).toString('base64')
    const finalBare = `c=${binding},r=${nonce}`
    // The proofs are over what went over the wire, byte for byte.
    const authMessage = Buffer.concat([
      Buffer.from(`${this.#firstBare},`),
      serverFirst,
      Buffer.from(`,${finalBare}`),
    ])

    const salted = crypto().pbkdf2Sync(saslprep(this.#password), salt, iterations, 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = crypto().createHash('sha256').update(clientKey).digest()
    const mask = hmac(storedKey, authMessage)
    const proof = clientKey.map((byte, n) => byte ^ (mask[n] ?? 0))
    this.#signature = hmac(hmac(salted, 'Server Key'), authMessage)
    this.#step = 'verify'
    return Buffer.from(`${finalBare},p=${Buffer.from(proof).toString('base64')}`)
  }

  /**
   * Check that the server knows the password too.
   * @throws ScramError when it does not, or says that the exchange failed.
   */
  verify(serverFinal: Uint8Array): void {
    this.#advance('verify', 'failed')
    const message = Buffer.from(serverFinal).toString()
    if (message.startsWith('e=')) {
      throw new ScramError(
        `the server ended the exchange: ${JSON.stringify(message.slice(2, 202))}`,
      )
    }
    const signature = fromBase64(SERVER_FINAL.exec(message)?.[1])
    if (signature === undefined) throw new ScramError("the server's final message is malformed")
    if (signature.length !== 32 || !crypto().timingSafeEqual(signature, this.#signature)) {
      throw new ScramError(
        'the server could not prove that it knows the password; it may be another server',
      )
    }
    this.#step = 'verified'
  }

  #advance(from: 'first' | 'final' | 'verify', to: 'final' | 'failed'): void {
    if (this.#step !== from) throw new ScramError(`${from} is out of order in the exchange`)
    this.#step = to
  }
}

function chooseMechanism(
  offered: readonly string[],
  endPoint: Uint8Array | undefined,
  binding: 'disable' | 'prefer' | 'require',
): ScramMechanism {
  const canBind = endPoint !== undefined && offered.includes('SCRAM-SHA-256-PLUS')
  if (canBind && binding !== 'disable') return 'SCRAM-SHA-256-PLUS'
  if (binding === 'require') {
    throw new ScramError(
      endPoint === undefined
        ? 'channel binding is required, but there is no TLS, or a certificate that has no hash to bind to'
        : 'channel binding is required, but the server does not offer SCRAM-SHA-256-PLUS',
    )
  }
  if (offered.includes('SCRAM-SHA-256')) return 'SCRAM-SHA-256'
  const names = JSON.stringify(offered).slice(0, 200)
  throw new ScramError(`the server offers none of the mechanisms spoken here: ${names}`)
}

function readServerFirst(message: string): { nonce: string; salt: Buffer; iterations: number } {
  if (message.startsWith('m=')) {
    throw new ScramError('the server asks for an extension that is not spoken here')
  }
  if (message.startsWith('e=')) {
    throw new ScramError(`the server ended the exchange: ${JSON.stringify(message.slice(2, 202))}`)
  }
  const [, nonce, encoded, count] = SERVER_FIRST.exec(message) ?? []
  const salt = fromBase64(encoded)
  if (nonce === undefined || salt === undefined) {
    throw new ScramError("the server's first message is malformed")
  }
  const iterations = Number(count)
  if (iterations > MAX_ITERATIONS) {
    throw new ScramError(
      `the server asks for ${iterations} iterations; more than ${MAX_ITERATIONS} are refused`,
    )
  }
  return { nonce, salt, iterations }
}

/** Bytes of canonical base64; `undefined` for any other text. */
function fromBase64(text: string | undefined): Buffer | undefined {
  const bytes = Buffer.from(text ?? '', 'base64')
  return text !== undefined && bytes.toString('base64') === text ? bytes : undefined
}

function hmac(key: Uint8Array, message: string | Uint8Array): Buffer {
  return crypto().createHmac('sha256', key).update(message).digest()
}
