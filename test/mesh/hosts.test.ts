/**
 * The mesh between two hosts: bells arrive, a link that is cut delays nobody, and once it is
 * whole again the next bell brings everything. Each host is a process in a network of its own,
 * with one link between them; what both read is one file, which tells them nothing.
 */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { SqliteBackend, WriterLog } from 'agent-store'
import { KeyPair, writeKeyFile } from 'agent-store/mesh'
import { temporaryFile } from '../support.ts'
import { connect, Host, type LinkKind, type Report, withoutLink } from './hosts.ts'
import { withoutIroh } from './support.ts'

const HERE = '192.0.2.1'
const THERE = '192.0.2.2'
const POLL_MS = 400
/** Far below the time after which the follower that is woken would look by itself: a minute. */
const SOON_MS = 1_000
const ROUND = 20

// At once, as they wait most of their time.
describe('two hosts', { concurrency: true }, () => {
  for (const kind of ['veth', 'tun'] as const) {
    const skip = withoutIroh || withoutLink(kind)
    test(`a link of ${kind}`, { skip }, async (t) => {
      const { here, there, cut, heal } = await twoHosts(t, kind)
      const appended = () => here.reports.filter(({ appended }) => appended !== undefined)
      const readBy = (way: Report['by']) => there.reports.filter(({ by }) => by === way)
      const hasRead = (way: Report['by'], entries: number) => () => readBy(way).length >= entries
      const append = async (appends: number) => {
        const entries = appended().length + appends
        here.tell({ appends })
        await here.until(() => appended().length === entries)
        return entries
      }

      const before = await append(ROUND)
      await there.until(hasRead('bell', before), SOON_MS)
      const wakes = delays(appended(), readBy('bell'))
      t.diagnostic(`bells: median ${wakes[ROUND / 2]} ms, longest ${wakes.at(-1)} ms`)
      assert.ok(Number(wakes.at(-1)) < SOON_MS)

      cut()
      const during = await append(ROUND)
      await here.until(() => here.reports.some(({ unreached }) => unreached !== undefined))
      await there.until(hasRead('look', during))
      const looks = delays(appended(), readBy('look'))
      t.diagnostic(`with no bell: longest ${looks.at(-1)} ms`)
      assert.ok(Number(looks.at(-1)) < POLL_MS + SOON_MS)
      // The link alone had told of them.
      assert.equal(readBy('bell').length, before)

      heal()
      const after = await append(1)
      await there.until(hasRead('bell', after))
      await there.until(hasRead('look', after))
      const all = Array.from({ length: after }, (_, i) => i + 1)
      for (const way of ['bell', 'look'] as const) {
        assert.deepEqual(
          readBy(way).map(({ read }) => read),
          all,
        )
      }
      const longest = Math.max(...appended().map(({ took = Number.NaN }) => took))
      t.diagnostic(`longest append ${longest.toFixed(1)} ms`)
      assert.ok(longest < SOON_MS / 2)
    })
  }
})

/** One that appends and rings, one that reads, and how to part them. */
async function twoHosts(t: TestContext, kind: LinkKind) {
  const [file, keyFile] = [temporaryFile(t), temporaryFile(t)]
  writeKeyFile(keyFile, KeyPair.generate())
  using db = SqliteBackend.open(file)
  WriterLog.ensureSchema(db)
  const [here, there] = await Promise.all([
    Host.start(t, keyFile, file),
    Host.start(t, keyFile, file),
  ])
  await connect(t, kind, [
    [here, HERE],
    [there, THERE],
  ])
  there.tell({ address: THERE, pollMs: POLL_MS })
  const peer = () => there.reports.find(({ peer }) => peer !== undefined)?.peer
  await there.until(() => peer() !== undefined)
  here.tell({ address: HERE, peer: peer() })
  await here.until(() => here.reports.some(({ isReady }) => isReady))
  return {
    here,
    there,
    cut: () => there.ip('link', 'set', 'cable', 'down'),
    heal: () => there.ip('link', 'set', 'cable', 'up'),
  }
}

/** How long after each append returned its entry was read, in whole ms, ascending. */
function delays(appended: readonly Report[], read: readonly Report[]): number[] {
  const returned = new Map(appended.map(({ appended, at = '' }) => [appended, BigInt(at)]))
  return read
    .map(({ read, at = '' }) => Number((BigInt(at) - (returned.get(read) ?? 0n)) / 1_000_000n))
    .toSorted((a, b) => a - b)
}
