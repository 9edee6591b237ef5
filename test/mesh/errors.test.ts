/**
 * Every failure of the mesh is a MeshError with a code that never changes; a few have a class.
 */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { StoreError } from 'agent-store'
import * as mesh from 'agent-store/mesh'
import { MeshError, quotePeer } from 'agent-store/mesh'

const CLASSES: readonly (readonly [error: MeshError, name: string, code: string])[] = [
  [new MeshError('MESH_FRAME', 'too long'), 'MeshError', 'MESH_FRAME'],
  [new mesh.BacklogError('full'), 'BacklogError', 'MESH_BACKLOG'],
  [new mesh.MeshClosedError('closed'), 'MeshClosedError', 'MESH_CLOSED'],
  [new mesh.MeshTimeoutError('the handshake', 5), 'MeshTimeoutError', 'MESH_TIMEOUT'],
  [new mesh.PeerClosedError('gone'), 'PeerClosedError', 'MESH_PEER_CLOSED'],
  [new mesh.TransportError('failed'), 'TransportError', 'MESH_TRANSPORT'],
  [new mesh.UnreachableError('nobody'), 'UnreachableError', 'MESH_UNREACHABLE'],
]

test('each class has its code, a name, and is a StoreError', () => {
  const exported = Object.keys(mesh).filter((name) => name.endsWith('Error'))
  assert.deepEqual(new Set(exported), new Set(CLASSES.map(([, name]) => name)))
  for (const [error, name, code] of CLASSES) {
    assert.ok(error instanceof MeshError && error instanceof StoreError, name)
    assert.deepEqual([error.name, error.code], [name, code])
    assert.equal(String(error), `${name}: ${error.message}`)
  }
})

test('the page of errors lists every code that the mesh throws, and no other', () => {
  const root = join(import.meta.dirname, '..', '..')
  const codes = (file: string) =>
    new Set(readFileSync(join(root, file), 'utf8').match(/\bMESH_[A-Z_]+\b/g))
  assert.deepEqual(codes('docs/errors.md'), codes('src/mesh/errors.ts'))
})

test('a timeout says what took too long, and how long that may take', () => {
  const late = new mesh.MeshTimeoutError('the handshake', 5_000)
  assert.deepEqual([late.step, late.timeoutMs], ['the handshake', 5_000])
  assert.equal(late.message, 'the handshake took longer than 5000 ms')
})

test("a peer's text cannot forge a line of a log, nor turn it around", () => {
  assert.equal(quotePeer('a\nb\u001b[2J'), '"a\\nb\\u001b[2J"')
  assert.equal(quotePeer('\u007f\u0085\u2028\u202e\u2066'), '"\\u007f\\u0085\\u2028\\u202e\\u2066"')
  assert.equal(quotePeer('r\u00f4le \u{1f600}'), '"r\u00f4le \u{1f600}"')
  assert.ok(quotePeer('x'.repeat(10_000)).length < 100)
})
