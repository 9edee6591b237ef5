/**
 * The channel binding `tls-server-end-point` of RFC 5929: the hash of the server's
 * certificate, by the hash function of the certificate's own signature.
 *
 * Node says how a certificate is signed in no way that holds on all runtimes, so a reader of
 * the few bytes of DER on the way to the algorithm is here.
 *
 * @module
 */
import { crypto } from '../crypto.ts'

/** Object identifiers of signature algorithms, in the hex of their DER, to a hash function. */
const SIGNATURES: ReadonlyMap<string, string> = new Map([
  // RSA PKCS #1, 1.2.840.113549.1.1.n. MD5 and SHA-1 are replaced, as the RFC says.
  ['2a864886f70d010104', 'sha256'],
  ['2a864886f70d010105', 'sha256'],
  ['2a864886f70d01010e', 'sha224'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  // ECDSA, 1.2.840.10045.4.1 (SHA-1) and .4.3.n.
  ['2a8648ce3d0401', 'sha256'],
  ['2a8648ce3d040301', 'sha224'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
])

/** The hash functions that RSA-PSS names in its parameters. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d0205', 'sha256'], // MD5
  ['2b0e03021a', 'sha256'], // SHA-1
  ['608648016503040204', 'sha224'],
  ['608648016503040201', 'sha256'],
  ['608648016503040202', 'sha384'],
  ['608648016503040203', 'sha512'],
])

const RSA_PSS = '2a864886f70d01010a'

const SEQUENCE = 0x30
const OBJECT_IDENTIFIER = 0x06
/** `[0]`, constructed: the hash function of RSA-PSS. */
const HASH_ALGORITHM = 0xa0

/**
 * The channel binding of a certificate.
 * @param der The certificate, as the TLS library gives it in `raw`.
 * @returns `undefined` where none is defined: a signature without a hash function of its own
 * (Ed25519, Ed448), one not known here, or bytes that are no certificate. Do without then.
 */
export function tlsServerEndPoint(der: Uint8Array): Uint8Array | undefined {
  const hash = signatureHash(der)
  if (hash === undefined) return undefined
  return new Uint8Array(crypto().createHash(hash).update(der).digest())
}

function signatureHash(der: Uint8Array): string | undefined {
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
  const [, algorithm] = children(child(der, SEQUENCE))
  const [identifier, parameters] = children(contentOf(algorithm, SEQUENCE))
  const name = hexOf(contentOf(identifier, OBJECT_IDENTIFIER))
  return name === RSA_PSS ? pssHash(parameters) : SIGNATURES.get(name)
}

/** RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, … } */
function pssHash(parameters: Element | undefined): string | undefined {
  if (parameters?.tag !== SEQUENCE) return undefined
  const explicit = children(parameters.content).find(({ tag }) => tag === HASH_ALGORITHM)
  if (explicit === undefined) return 'sha256' // the default is SHA-1, which is replaced
  const [identifier] = children(child(explicit.content, SEQUENCE))
  return HASHES.get(hexOf(contentOf(identifier, OBJECT_IDENTIFIER)))
}

/** One tag, length and value of DER. */
interface Element {
  readonly tag: number
  readonly content: Uint8Array
}

const NOTHING = new Uint8Array(0)

function contentOf(element: Element | undefined, tag: number): Uint8Array {
  return element?.tag === tag ? element.content : NOTHING
}

/** What is in the one element of that tag; nothing where it is another, or not alone. */
function child(bytes: Uint8Array, tag: number): Uint8Array {
  const elements = children(bytes)
  return elements.length === 1 ? contentOf(elements[0], tag) : NOTHING
}

/** The elements in a row; none where the bytes are not such. */
function children(bytes: Uint8Array): readonly Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length; ) {
    const [tag = 0, short = 0x80] = bytes.subarray(at, at + 2)
    // A length below 128 is itself; above, so many bytes hold it. No certificate is over 2^32.
    const more = short < 0x80 ? 0 : short & 0x7f
    const start = at + 2 + more
    if ((tag & 0x1f) === 0x1f || short === 0x80 || more > 4 || start > bytes.length) return []
    const length = bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0)
    const end = start + (more === 0 ? short : length)
    if (end > bytes.length) return []
    elements.push({ tag, content: bytes.subarray(start, end) })
    at = end
  }
  return elements
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
