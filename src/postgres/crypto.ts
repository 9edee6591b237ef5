/**
 * `node:crypto`, loaded when a connection first needs it and not when the package is imported:
 * it takes longer to load than any other part of the codec.
 *
 * @module
 */
type Crypto = typeof import('node:crypto')

let loaded: Crypto | undefined

/** The module. The first call takes some milliseconds. */
export function crypto(): Crypto {
  loaded ??= process.getBuiltinModule('node:crypto')
  return loaded
}
