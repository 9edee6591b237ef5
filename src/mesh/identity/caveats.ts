/**
 * Caveats: what a certificate allows its holder. The mesh itself keeps one rule of theirs, that
 * a delegated certificate grants no more than its parent; the rest is for applications.
 *
 * @module
 */
import { checkUint64, jsonString, sortedIntegers, sortedTexts } from '../json/canonical-json.ts'
import type { JsonReader } from '../json/strict-json.ts'

/** Everything, or only these. The empty set allows nothing. */
export type Scope<T> = 'all' | { readonly only: readonly T[] }

/** How often; `atMost` is an unsigned 64-bit integer. */
export type CountBound = 'unlimited' | { readonly atMost: bigint }

/** What a certificate allows. Names are compared as they are: no paths, no patterns. */
export interface Caveats {
  readonly fsRead: Scope<string>
  readonly fsWrite: Scope<string>
  readonly exec: Scope<string>
  readonly net: Scope<string>
  readonly maxCalls: CountBound
  /** Generations (unsigned 64-bit) in which the certificate is valid; on the bus only `'all'` is. */
  readonly validForGeneration: Scope<bigint>
}

/** No restriction at all. */
export const UNRESTRICTED: Caveats = Object.freeze({
  fsRead: 'all',
  fsWrite: 'all',
  exec: 'all',
  net: 'all',
  maxCalls: 'unlimited',
  validForGeneration: 'all',
})

/** Whether `a` grants no more than `b`, member by member. */
export function isWithin(a: Caveats, b: Caveats): boolean {
  return (
    scopeWithin(a.fsRead, b.fsRead) &&
    scopeWithin(a.fsWrite, b.fsWrite) &&
    scopeWithin(a.exec, b.exec) &&
    scopeWithin(a.net, b.net) &&
    boundWithin(a.maxCalls, b.maxCalls) &&
    scopeWithin(a.validForGeneration, b.validForGeneration)
  )
}

function scopeWithin<T>(a: Scope<T>, b: Scope<T>): boolean {
  if (b === 'all') return true
  if (a === 'all') return false
  const allowed = new Set(b.only)
  return a.only.every((one) => allowed.has(one))
}

function boundWithin(a: CountBound, b: CountBound): boolean {
  return b === 'unlimited' || (a !== 'unlimited' && a.atMost <= b.atMost)
}

/** Canonical JSON. @throws TypeError, RangeError when a member is not what it should be. */
export function caveatsToJson(caveats: Caveats): string {
  const { maxCalls } = caveats
  if (maxCalls !== 'unlimited') checkUint64('maxCalls.atMost', maxCalls.atMost)
  const bound = maxCalls === 'unlimited' ? '"unlimited"' : `{"at_most":${maxCalls.atMost}}`
  return (
    `{"fs_read":${textScope('fsRead', caveats.fsRead)}` +
    `,"fs_write":${textScope('fsWrite', caveats.fsWrite)}` +
    `,"exec":${textScope('exec', caveats.exec)}` +
    `,"net":${textScope('net', caveats.net)}` +
    `,"max_calls":${bound}` +
    `,"valid_for_generation":${generationScope(caveats.validForGeneration)}}`
  )
}

function textScope(argument: string, scope: Scope<string>): string {
  if (scope === 'all') return '"all"'
  const texts = sortedTexts(scope.only).map((text) => jsonString(`${argument}.only`, text))
  return `{"only":[${texts.join(',')}]}`
}

function generationScope(scope: Scope<bigint>): string {
  if (scope === 'all') return '"all"'
  for (const one of scope.only) checkUint64('validForGeneration.only', one)
  return `{"only":[${sortedIntegers(scope.only).join(',')}]}`
}

/** Read caveats. @throws MeshError MESH_ENCODING. */
export function readCaveats(reader: JsonReader): Caveats {
  const found: { -readonly [K in keyof Caveats]?: Caveats[K] } = {}
  reader.object({
    fs_read: () => (found.fsRead = readTextScope(reader)),
    fs_write: () => (found.fsWrite = readTextScope(reader)),
    exec: () => (found.exec = readTextScope(reader)),
    net: () => (found.net = readTextScope(reader)),
    max_calls: () => (found.maxCalls = readBound(reader)),
    valid_for_generation: () => {
      const only = readScope(reader, () => reader.u64())
      found.validForGeneration = only === 'all' ? only : { only: sortedIntegers(only.only) }
    },
  })
  return {
    fsRead: reader.required(found.fsRead, 'fs_read'),
    fsWrite: reader.required(found.fsWrite, 'fs_write'),
    exec: reader.required(found.exec, 'exec'),
    net: reader.required(found.net, 'net'),
    maxCalls: reader.required(found.maxCalls, 'max_calls'),
    validForGeneration: reader.required(found.validForGeneration, 'valid_for_generation'),
  }
}

function readTextScope(reader: JsonReader): Scope<string> {
  const scope = readScope(reader, () => reader.string())
  return scope === 'all' ? scope : { only: sortedTexts(scope.only) }
}

function readScope<T>(reader: JsonReader, element: () => T): Scope<T> {
  if (reader.atString()) return unit(reader, 'all')
  return reader.variant<Scope<T>>({
    all: () => (reader.takeNull() ? 'all' : reader.fail('expected null')),
    only: () => {
      const only: T[] = []
      reader.array(() => only.push(element()))
      return { only }
    },
  })
}

function readBound(reader: JsonReader): CountBound {
  if (reader.atString()) return unit(reader, 'unlimited')
  return reader.variant<CountBound>({
    unlimited: () => (reader.takeNull() ? 'unlimited' : reader.fail('expected null')),
    at_most: () => ({ atMost: reader.u64() }),
  })
}

function unit<T extends string>(reader: JsonReader, variant: T): T {
  return reader.string() === variant ? variant : reader.fail('unknown variant')
}
