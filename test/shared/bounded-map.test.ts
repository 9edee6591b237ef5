/** A map of bounded size: the entry that was used the longest time ago makes way. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { BoundedMap } from '../../src/shared/bounded-map.ts'

const keys = (map: BoundedMap<string, number>) => [...map].map(([key]) => key)

test('the entry that was used the longest time ago makes way, and is returned', () => {
  const map = new BoundedMap<string, number>(2)
  assert.equal(map.set('a', 1), undefined)
  assert.equal(map.set('b', 2), undefined)
  assert.equal(map.get('a'), 1)
  assert.equal(map.set('c', 3), 2)
  assert.deepEqual(keys(map), ['a', 'c'])
  assert.equal(map.get('b'), undefined)
})

test('to ask whether a key is there, or to peek, is no use', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1)
  map.set('b', 2)
  assert.ok(map.has('a'))
  assert.equal(map.peek('a'), 1)
  assert.equal(map.set('c', 3), 1)
})

test('a key that is set again keeps the others', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1)
  map.set('b', 2)
  assert.equal(map.set('a', 9), undefined)
  assert.deepEqual(
    [...map],
    [
      ['b', 2],
      ['a', 9],
    ],
  )
})

test('a key that was deleted, or cleared away, begins anew', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1)
  assert.ok(map.delete('a'))
  assert.ok(!map.delete('a'))
  map.set('a', 2)
  map.set('b', 3)
  assert.equal(map.set('a', 4), undefined)
  map.clear()
  assert.equal(map.size, 0)
  map.set('a', 5)
  assert.deepEqual([...map], [['a', 5]])
})

test('it does what a list in order of use does, whatever comes', () => {
  const step = fc.tuple(
    fc.constantFrom('get', 'set', 'delete', 'peek'),
    fc.constantFrom('a', 'b', 'c', 'd', 'e'),
  )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 60 }),
      (most, steps) => {
        const map = new BoundedMap<string, number>(most)
        let list: (readonly [string, number])[] = []
        steps.forEach(([action, key], i) => {
          const known = list.find(([name]) => name === key)
          const others = list.filter(([name]) => name !== key)
          if (action === 'get') {
            assert.equal(map.get(key), known?.[1])
            if (known !== undefined) list = [...others, known]
          } else if (action === 'peek') assert.equal(map.peek(key), known?.[1])
          else if (action === 'delete') {
            assert.equal(map.delete(key), known !== undefined)
            list = others
          } else {
            const next = [...others, [key, i] as const]
            assert.equal(map.set(key, i), next.length > most ? next[0]?.[1] : undefined)
            list = next.slice(-most)
          }
          assert.deepEqual([...map], list)
        })
      },
    ),
  )
})
