/**
 * Agents announced and found by multicast DNS: between two processes in a network of their own,
 * and what is heard from anybody.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { Fingerprint } from 'agent-store'
import {
  Agent,
  IrohTransport,
  KeyPair,
  MdnsPeers,
  MeshBus,
  UnreachableError,
  writeKeyFile,
} from 'agent-store/mesh'
import {
  announcementRecords,
  announcementText,
  type DnsRecord,
  instanceName,
  readAnnouncement,
  SERVICE,
} from '../../src/mesh/discovery/mdns-announcement.ts'
import { MdnsCache } from '../../src/mesh/discovery/mdns-cache.ts'
import { temporaryFile } from '../support.ts'
import { isInside, runInside, withoutNetwork } from './own-network.ts'
import { agentOf, KEYS, VECTORS } from './support.ts'

const { agentA, agentB, user } = VECTORS.keys
const A = agentOf(KEYS.agentA)

test('the records of an agent', () => {
  const records = announcementRecords(A, 4433, ['192.0.2.7', '2001:db8::7'])
  const instance = 'am-1eed29b1654f._agent-mesh._udp.local'
  assert.equal(instanceName(KEYS.agentA.fingerprint), instance)
  assert.deepEqual(
    records.map(({ type, name, ttl }) => [type, name, ttl]),
    [
      ['PTR', '_agent-mesh._udp.local', 4500],
      ['SRV', instance, 120],
      ['TXT', instance, 4500],
      ['A', 'am-1eed29b1654f.local', 120],
      ['AAAA', 'am-1eed29b1654f.local', 120],
    ],
  )
  assert.deepEqual(records[0]?.data, instance)
  assert.deepEqual(records[1]?.data, { port: 4433, target: 'am-1eed29b1654f.local' })
  assert.deepEqual(records[2]?.data, [
    `agent_fp=${agentA.fingerprint}`,
    `user_fp=${user.fingerprint}`,
    'caps=agent-store-doorbell',
    'role=worker',
    'host=host-a',
    `agent_pub=${agentA.pub}`,
  ])
})

test('what DNS cannot carry is not announced', () => {
  const announce = (options: object) => () =>
    announcementText(Agent.issue(KEYS.user, { role: 'r', ...options }))
  assert.throws(
    announce({ role: 'x'.repeat(251) }),
    /^RangeError: role is announced in at most 255 bytes/,
  )
  assert.throws(announce({ capabilities: ['a,b'] }), /^RangeError: a capability .* no comma/)
  assert.throws(announce({ capabilities: Array(30).fill('capability') }), /^RangeError: caps/)
})

test('an announcement is read whatever its order and case, and completed with this machine', () => {
  const texts = announcementText(A).toReversed()
  const peer = readAnnouncement(
    texts.map((text) => text.replace('caps', 'CAPS')),
    4433,
    ['192.0.2.7', '2001:db8::7'],
  )
  assert.deepEqual(peer?.publicKey, KEYS.agentA.publicKey)
  assert.deepEqual(peer?.addresses, [
    '192.0.2.7:4433',
    '[2001:db8::7]:4433',
    '127.0.0.1:4433',
    '[::1]:4433',
  ])
  assert.deepEqual([peer?.role, peer?.host], ['worker', 'host-a'])
  assert.deepEqual(peer?.capabilities, ['agent-store-doorbell'])
  const bare = texts.filter((text) => !/^(role|host|caps)=/.test(text))
  assert.deepEqual(readAnnouncement(bare, 1, [])?.capabilities, [])
  const least = readAnnouncement([...bare, 'caps=,a,,b', 'flag', '=x', ''], 1, [])
  assert.deepEqual([least?.role, least?.host, least?.capabilities], ['', '', ['a', 'b']])
})

test('one that says too little, or contradicts itself, is nobody', () => {
  const texts = announcementText(A)
  const without = (key: string) => texts.filter((text) => !text.startsWith(key))
  for (const wrong of [
    [],
    without('agent_fp'),
    without('user_fp'),
    without('agent_pub'),
    [...without('agent_pub'), `agent_pub=${agentB.pub}`],
    [...without('agent_fp'), `agent_fp=${agentA.fingerprint.slice(1)}`],
    [...without('agent_fp'), `agent_fp=${agentB.fingerprint}`],
    [`agent_fp=${agentB.fingerprint}`, ...texts],
  ]) {
    assert.equal(readAnnouncement(wrong, 4433, []), undefined)
  }
  assert.equal(readAnnouncement(texts, 0, []), undefined)
})

/** What a cache of the golden user lists after these packets. */
function after(...packets: readonly (readonly object[])[]): string[] {
  const cache = new MdnsCache(KEYS.user.fingerprint, () => {})
  for (const packet of packets) cache.hear(packet as readonly DnsRecord[])
  const found = cache.list().map(({ agent, addresses }) => `${agent.short()} ${addresses[0]}`)
  cache.clear()
  return found
}

test('agents come with their records, in any packets, and go with a goodbye', () => {
  const records = announcementRecords(A, 1, ['192.0.2.7'])
  const [pointer, place, text, address] = records
  const found = ['1eed29b1654f 192.0.2.7:1']
  assert.deepEqual(after(records), found)
  assert.deepEqual(after([address ?? {}], [text ?? {}], [place ?? {}], [pointer ?? {}]), found)
  assert.deepEqual(after([place ?? {}, text ?? {}]), ['1eed29b1654f 127.0.0.1:1'])
  assert.deepEqual(after([pointer ?? {}, place ?? {}]), [])
  assert.deepEqual(after(records, [{ ...place, ttl: 0 }]), [])
  assert.deepEqual(
    after(
      records,
      records.map((record) => ({ ...record, ttl: 0 })),
    ),
    [],
  )
  assert.deepEqual(after(records, [{ ...address, ttl: 0 }]), ['1eed29b1654f 127.0.0.1:1'])
  assert.deepEqual(after(records, [{ ...place, ttl: undefined }]), [])
  assert.deepEqual(after(announcementRecords(A, 1, ['fe80::1'])), ['1eed29b1654f 127.0.0.1:1'])
  const moved = announcementRecords(A, 2, ['192.0.2.7'])
  assert.deepEqual(after(records, moved), ['1eed29b1654f 192.0.2.7:2'])
})

test('agents of others, or under a name that is not theirs, are not listed', () => {
  assert.deepEqual(after(announcementRecords(agentOf(KEYS.agentA, KEYS.otherUser), 1, [])), [])
  const renamed = announcementRecords(A, 1, []).map((record) => ({
    ...record,
    name: record.name.replace('1eed29b1654f', '000000000000'),
  }))
  assert.deepEqual(after(renamed), [])
})

test('records of any shape are taken or left, and their number is bounded', () => {
  const instance = `am-1eed29b1654f.${SERVICE}`
  for (const type of ['PTR', 'SRV', 'TXT', 'A', 'AAAA', 'NSEC']) {
    for (const data of [null, undefined, 7, '', 'x', [], [null], {}, { port: '1', target: 2 }]) {
      for (const name of [SERVICE, instance, '', 'x.local']) {
        assert.deepEqual(after([{ type, name, ttl: 120, data }]), [])
      }
    }
  }
  const cache = new MdnsCache(KEYS.user.fingerprint, () => {})
  const flood = Array.from({ length: 5_000 }, (_, i) => ({
    type: 'PTR',
    name: SERVICE,
    ttl: 120,
    data: `am-${i}.${SERVICE}`,
  }))
  cache.hear(flood)
  assert.equal(cache.incomplete().length, 1_024)
  cache.clear()
  assert.equal(cache.incomplete().length, 0)
})

test('an agent that is not renewed is forgotten when its time is over', async () => {
  const { promise: changed, resolve } = Promise.withResolvers<void>()
  let count = 0
  const cache = new MdnsCache(KEYS.user.fingerprint, () => {
    if (++count === 2) resolve()
  })
  const keepAlive = setTimeout(() => {}, 5_000)
  cache.hear(announcementRecords(A, 1, []).map((record) => ({ ...record, ttl: 0.05 })))
  assert.equal(cache.list().length, 1)
  await changed
  assert.equal(cache.list().length, 0)
  clearTimeout(keepAlive)
})

const ADDRESS = '10.91.0.1'
const SETUP = [
  'ip link set lo up multicast on',
  `ip addr add ${ADDRESS}/24 dev lo`,
  'ip route add 224.0.0.0/4 dev lo',
].join(' && ')

/** Why there is no network to announce in, or `false`. */
const skip = !isInside && withoutNetwork(SETUP)

if (isInside) {
  test('two processes find each other, and talk', async (t) => {
    const keyFile = temporaryFile(t)
    const key = KeyPair.generate()
    writeKeyFile(keyFile, key)
    const agent = Agent.issue(key, { role: 'parent' })
    const transport = await IrohTransport.bind(agent.key)
    const peers = await MdnsPeers.open(key.fingerprint, { interface: ADDRESS })
    t.after(() => peers.close())
    const others = await MdnsPeers.open(key.fingerprint, { interface: ADDRESS, capability: 'c' })
    t.after(() => others.close())
    const bus = MeshBus.bind({ agent, transport, peers, limits: { resolveTimeoutMs: 3_000 } })
    t.after(() => bus.close())
    peers.announce(agent, transport)

    const child = fork(join(import.meta.dirname, 'mdns-process.ts'), [keyFile, ADDRESS])
    t.after(() => child.kill('SIGKILL'))
    const [{ agent: hex }] = await once(child, 'message')
    const other = Fingerprint.fromHex(hex)
    const told = once(child, 'message')
    await bus.publish(other, 'news', '')
    assert.deepEqual((await told)[0], { told: agent.fingerprint.toHex() })
    assert.deepEqual(
      peers.list().map(({ role, capabilities }) => [role, capabilities]),
      [['child', ['a', 'b']]],
    )

    assert.ok(await others.resolve(other, AbortSignal.timeout(3_000)))
    assert.deepEqual(others.list(), [])
    {
      let changes = 0
      const onChange = () => void changes++
      await using anywhere = await MdnsPeers.open(key.fingerprint, { onChange })
      assert.ok(await anywhere.resolve(other, AbortSignal.timeout(3_000)))
      assert.ok(changes > 0)
    }

    child.disconnect()
    await once(child, 'exit')
    for (let i = 0; i < 100 && peers.list().length > 0; i++) {
      await new Promise((done) => setTimeout(done, 20))
    }
    assert.deepEqual(peers.list(), [])
    const started = performance.now()
    await assert.rejects(bus.publish(other, 'news', ''), UnreachableError)
    assert.ok(performance.now() - started < 4_000)
  })
} else {
  test('two processes find each other in a network of their own', { skip }, (t) => {
    const { status, report } = runInside(import.meta.filename, SETUP)
    assert.equal(status, 0, report)
    assert.match(report, /^ok .* two processes find each other, and talk/m)
    t.diagnostic('found, told, and taken back')
  })
}
