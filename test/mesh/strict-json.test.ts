/**
 * What a reader of JSON takes and refuses, row by row what was seen of the Rust peers.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonReader } from '../../src/mesh/json/strict-json.ts'
import { utf8 } from '../support.ts'

interface Found {
  name?: string
  id?: Uint8Array
  count?: bigint
}

/** A structure with a string, two bytes and an integer. */
function read(json: string | Uint8Array): Found {
  return JsonReader.parse(typeof json === 'string' ? utf8(json) : json, (reader) => {
    const found: Found = {}
    reader.object({
      name: () => (found.name = reader.string()),
      id: () => (found.id = reader.bytes(2)),
      count: () => (found.count = reader.u64()),
    })
    reader.required(found.name, 'name')
    return found
  })
}

const name = (json: string) => read(`{"name":${json}}`).name
const id = (json: string) => read(`{"name":"","id":${json}}`).id
const count = (json: string) => read(`{"name":"","count":${json}}`).count

test('order, whitespace and unknown members do not matter', () => {
  const expected = { name: 'n', id: new Uint8Array([1, 2]), count: 3n }
  for (const json of [
    '{"name":"n","id":[1,2],"count":3}',
    '{"count":3,"id":[1,2],"name":"n"}',
    ' {\t"name"\n:\r"n" , "id" : [ 1 , 2 ] , "count" : 3 } \n',
    '{"name":"n","x":{"name":"no"},"id":[1,2],"y":[],"count":3,"z":{},"x":-1.5e-3}',
    '{"name":"n","a":true,"b":false,"c":null,"d":"\\u00e9\\"\\\\","id":[1,2],"count":3}',
    '{"\\u006eame":"n","id":[1,2],"count":3}',
    '{"__proto__":1,"constructor":2,"toString":3,"name":"n","id":[1,2],"count":3}',
  ]) {
    assert.deepEqual(read(json), expected, json)
  }
})

test('an unknown member may be nested as deep as it likes', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ]) {
    const deep = `${open?.repeat(100_000)}1${close?.repeat(100_000)}`
    assert.equal(read(`{"x":${deep},"name":"n"}`).name, 'n')
  }
})

test('a known member twice, one that is missing, and what follows the end are refused', () => {
  for (const json of [
    '{"name":"n","name":"n"}',
    '{}',
    '{"id":[1,2]}',
    '{"name":"n"} x',
    '{"name":"n"}{}',
    '[]',
    'null',
    '"name"',
    '',
    '   ',
    '\ufeff{"name":"n"}',
    '{"name":"n"',
    '{"name":"n",}',
    '{"name" "n"}',
    "{'name':'n'}",
    '{name:"n"}',
    '{"name":"n";"x":1}',
  ]) {
    assert.throws(() => read(json), { code: 'MESH_ENCODING' }, json)
  }
})

test('an unknown member must be JSON all the same', () => {
  for (const value of [
    '01',
    '+1',
    '1.',
    '.5',
    '1e',
    'NaN',
    'nul',
    'True',
    '[1,]',
    '[,1]',
    '[1}',
    '{"a"}',
    '{"a":}',
    '{1:2}',
    '"\\x"',
    '"a\nb"',
    '"\\u12"',
    '"',
    '[[[',
    '-',
  ]) {
    assert.throws(() => read(`{"name":"n","x":${value}}`), { code: 'MESH_ENCODING' }, value)
  }
})

test('strings are text: any character, no lone surrogate, nothing but UTF-8', () => {
  assert.equal(
    name('"\\u00f4 \\ud83d\\ude00 \\/ \\b\\f\\n\\r\\t"'),
    '\u00f4 \u{1f600} / \b\f\n\r\t',
  )
  assert.equal(name('"\u007f\u2028\u{1f600}\ufeff"'), '\u007f\u2028\u{1f600}\ufeff')
  assert.equal(name('"\ufeff"'), '\ufeff')
  assert.equal(name('"\\u0000"'), '\0')
  for (const json of ['"\\ud800"', '"\\ude00\\ud83d"', '"\t"', '"\\a"', 'n', '1', '["n"]']) {
    assert.throws(() => name(json), { code: 'MESH_ENCODING' }, json)
  }
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    const json = new Uint8Array([...utf8('{"name":"'), ...bytes, ...utf8('"}')])
    assert.throws(() => read(json), { code: 'MESH_ENCODING' }, String(bytes))
  }
})

test('bytes are an array of so many integers from 0 to 255', () => {
  assert.deepEqual(id('[0,255]'), new Uint8Array([0, 255]))
  for (const json of [
    '[1]',
    '[1,2,3]',
    '[]',
    '[1,256]',
    '[1,-1]',
    '[1,-0]',
    '[1,1.0]',
    '[1,1e0]',
    '[1,01]',
    '[1,"2"]',
    '[1,null]',
    '"0102"',
    '"ab"',
    'null',
    '{}',
    '[1,99999999999999999999999]',
  ]) {
    assert.throws(() => id(json), { code: 'MESH_ENCODING' }, json)
  }
})

test('integers are unsigned and have 64 bits, of which none is lost', () => {
  assert.equal(count('0'), 0n)
  assert.equal(count('9007199254740993'), 9007199254740993n)
  assert.equal(count('18446744073709551615'), 2n ** 64n - 1n)
  for (const json of [
    '18446744073709551616',
    '99999999999999999999',
    '1'.repeat(1000),
    '-1',
    '-0',
    '1.0',
    '1e3',
    '00',
    '01',
    '"1"',
    'null',
    '0x10',
  ]) {
    assert.throws(() => count(json), { code: 'MESH_ENCODING' }, json.slice(0, 30))
  }
})

test('a blob is an array, or a string that stands for its UTF-8', () => {
  const blob = (json: string) => JsonReader.parse(utf8(json), (reader) => reader.blob())
  assert.deepEqual(blob('[]'), new Uint8Array())
  assert.deepEqual(blob('[104,105]'), utf8('hi'))
  assert.deepEqual(blob('"aGk="'), utf8('aGk='))
  const many = Array.from({ length: 10_000 }, (_, i) => i % 256)
  assert.deepEqual(blob(JSON.stringify(many)), Uint8Array.from(many))
  for (const json of ['[256]', '{}', '[[]]', '1'])
    assert.throws(() => blob(json), { code: 'MESH_ENCODING' })
})

test('a failure says where', () => {
  assert.throws(() => read('{"name":7}'), /^MeshError: expected a string, at byte 8$/)
})
