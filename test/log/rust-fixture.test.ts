/** A file that the Rust crate 0.1.2 wrote opens here, whole; see interop/ for the live crate. */
import '../from-source.ts'
import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Fingerprint, Generation, SqliteBackend, WriterLog } from 'agent-store'

const fixtures = join(import.meta.dirname, '..', 'fixtures')
const folder = mkdtempSync(join(tmpdir(), 'agent-store-rust-'))
after(() => rmSync(folder, { recursive: true }))

function open(): SqliteBackend {
  const file = join(folder, 'rust-written.db')
  copyFileSync(join(fixtures, 'rust-written.db'), file)
  return SqliteBackend.open(file)
}

const expected = JSON.parse(readFileSync(join(fixtures, 'rust-written.json'), 'utf8'))
const hex = (bytes: Uint8Array | null) =>
  bytes === null ? null : Buffer.from(bytes).toString('hex')

test('every entry is there, byte for byte', () => {
  using db = open()
  const found = WriterLog.streams(db).flatMap((stream) =>
    WriterLog.writers(db, stream).flatMap((writer) =>
      WriterLog.entries(db, stream, writer).map((entry) => ({
        stream,
        writer,
        seq: String(entry.seq),
        prevHash: hex(entry.prevHash),
        contentHash: hex(entry.contentHash),
        payloadHex: hex(entry.payload),
      })),
    ),
  )
  const key = (e: { stream: string; writer: string; seq: string }) =>
    `${e.stream}\0${e.writer}\0${e.seq.padStart(9)}`
  const sorted = (list: typeof found) => list.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
  assert.ok(expected.entries.length > 40)
  assert.deepEqual(sorted(found), sorted(expected.entries))
})

test('it verifies, and goes on', () => {
  using db = open()
  assert.equal(WriterLog.verifyAll(db).entries, BigInt(expected.entries.length))
  const head = WriterLog.head(db, 'conv:demo', 'alice')
  const next = WriterLog.append(db, 'conv:demo', 'alice', 'from TypeScript')
  assert.equal(next.seq, (head?.seq ?? 0n) + 1n)
  assert.deepEqual(next.prevHash, head?.contentHash)
  WriterLog.verify(db, 'conv:demo', 'alice')
})

test('its counters are there, beyond 2^53 too', () => {
  using db = open()
  const found = Object.fromEntries(
    Generation.list(db).map(({ key, value }) => [key, String(value)]),
  )
  assert.deepEqual(found, expected.generations)
  assert.equal(new Generation('report').bump(db), BigInt(expected.generations.report) + 1n)
})

test('its fingerprints are ours', () => {
  assert.ok(expected.fingerprints.length > 0)
  for (const { pubkeyHex, hex: fingerprint } of expected.fingerprints) {
    const pubkey = new Uint8Array(Buffer.from(pubkeyHex, 'hex'))
    assert.equal(Fingerprint.fromEd25519Pubkey(pubkey).toHex(), fingerprint)
  }
})
