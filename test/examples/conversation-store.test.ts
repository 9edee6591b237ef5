/**
 * What the conversation store promises: one commit for turn and row, one owner, the order
 * of the log, and no turn that was quietly changed.
 *
 * @module
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { suite, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BackendError, ChainBrokenError, StaleGenerationError } from 'agent-store'
import {
  type Claim,
  ConversationStore,
} from '../../examples/conversation-store/conversation-store.ts'
import { startScript } from '../processes/start.ts'
import { temporaryFile } from '../support.ts'

const LOG = 'SELECT * FROM _agent_store_log ORDER BY stream, writer, seq'
const MESSAGES = 'SELECT conversation, seq, role, text FROM message ORDER BY conversation, seq'
const OWNER = fileURLToPath(new URL('./conversation-owner.ts', import.meta.url))
const MAIN = fileURLToPath(new URL('../../examples/conversation-store/main.ts', import.meta.url))

/** A store with four turns by one owner. */
function fourTurns(t: TestContext): { store: ConversationStore; claim: Claim } {
  const store = new ConversationStore(temporaryFile(t))
  const claim = store.claim('demo')
  for (const text of ['one', 'two', 'three', 'four']) store.say(claim, 'user', text)
  return { store, claim }
}

const texts = (store: ConversationStore) => store.resume('demo').map(({ text }) => text)

test('a turn and its row commit together, or not at all', (t) => {
  const { store, claim } = fourTurns(t)
  using _ = store
  assert.deepEqual(store.db.query(MESSAGES).at(-1), ['demo', 4n, 'user', 'four'])
  // The row of the fifth turn is taken: the turn must not be there either.
  store.db.exec("INSERT INTO message VALUES ('demo', 5, 'user', 'not mine', '')")
  assert.throws(() => store.say(claim, 'assistant', 'five'), BackendError)
  assert.deepEqual(texts(store), ['one', 'two', 'three', 'four'])
  store.db.exec('DELETE FROM message WHERE seq = 5')
  assert.equal(store.say(claim, 'assistant', 'five').seq, 5n)
  assert.deepEqual(store.db.query(MESSAGES).at(-1), ['demo', 5n, 'assistant', 'five'])
})

test('another process resumes what was said, and goes on', (t) => {
  const file = temporaryFile(t)
  {
    using store = new ConversationStore(file)
    store.say(store.claim('demo'), 'user', 'hello')
  }
  using store = new ConversationStore(file)
  store.say(store.claim('demo'), 'assistant', 'hello yourself')
  assert.deepEqual(
    store.resume('demo').map(({ seq, role, text }) => [seq, role, text]),
    [
      [1n, 'user', 'hello'],
      [2n, 'assistant', 'hello yourself'],
    ],
  )
  assert.deepEqual(store.resume('never begun'), [])
})

test('of two processes, the one that was superseded is refused', async (t) => {
  const file = temporaryFile(t)
  const loser = startScript(OWNER, file, 'demo', 'from the loser')
  assert.deepEqual(await loser.lines(1), ['1'])
  const winner = startScript(OWNER, file, 'demo', 'from the winner')
  assert.deepEqual(await winner.lines(1), ['2'])
  loser.go()
  assert.deepEqual(await loser.end, { lines: ['1', 'STORE_STALE_GENERATION'], failure: undefined })
  winner.go()
  assert.deepEqual(await winner.end, { lines: ['2', 'seq 1'], failure: undefined })
  using store = new ConversationStore(file)
  assert.deepEqual(texts(store), ['from the winner'])
  assert.deepEqual(store.db.query(MESSAGES), [['demo', 1n, 'user', 'from the winner']])
})

test('a claim supersedes only claims on the same conversation', (t) => {
  const { store, claim } = fourTurns(t)
  using _ = store
  store.claim('other')
  assert.equal(store.say(claim, 'user', 'five').seq, 5n)
  store.claim('demo')
  assert.throws(() => store.say(claim, 'user', 'six'), StaleGenerationError)
})

test('a clock that runs backwards changes no order', (t) => {
  let hour = 9
  using store = new ConversationStore(
    temporaryFile(t),
    () => new Date(Date.UTC(2026, 0, 1, hour--)),
  )
  const claim = store.claim('demo')
  for (const text of ['first', 'second', 'third']) store.say(claim, 'user', text)
  const turns = store.resume('demo')
  assert.deepEqual(
    turns.map(({ text }) => text),
    ['first', 'second', 'third'],
  )
  const claimed = turns.map(({ claimedAt }) => claimedAt)
  assert.deepEqual(claimed, [...claimed].sort().reverse())
  assert.notEqual(claimed[0], claimed[2])
})

suite('a manipulation is refused by name, and the rows are left as found', () => {
  const forged = "payload = CAST(replace(CAST(payload AS TEXT), 'o', '0') AS BLOB)"
  const manipulations = [
    {
      name: 'an edit in the middle',
      sql: `UPDATE _agent_store_log SET ${forged} WHERE seq = 2`,
      seq: 2n,
    },
    {
      name: 'an edit at the end',
      sql: `UPDATE _agent_store_log SET ${forged} WHERE seq = 4`,
      seq: 4n,
    },
    { name: 'a deleted middle entry', sql: 'DELETE FROM _agent_store_log WHERE seq = 3', seq: 3n },
  ]
  for (const { name, sql, seq } of manipulations) {
    test(name, (t) => {
      const { store } = fourTurns(t)
      using _ = store
      assert.equal(store.db.exec(sql), 1)
      const found = [store.db.query(LOG), store.db.query(MESSAGES)]
      assert.throws(
        () => store.resume('demo'),
        (error) => {
          assert.ok(error instanceof ChainBrokenError)
          assert.deepEqual(
            { stream: error.stream, writer: error.writer, seq: error.seq },
            { stream: 'conversation:demo', writer: 'turns', seq },
          )
          assert.match(error.message, new RegExp(`conversation:demo.*turns.*seq ${seq}`))
          return true
        },
      )
      assert.deepEqual([store.db.query(LOG), store.db.query(MESSAGES)], found)
    })
  }

  test('a cut tail, which only a pinned head shows', (t) => {
    const { store, claim } = fourTurns(t)
    using _ = store
    const head = store.say(claim, 'user', 'five')
    assert.equal(store.resume('demo', head).length, 5)
    store.db.exec('DELETE FROM _agent_store_log WHERE seq > 3')
    assert.deepEqual(texts(store), ['one', 'two', 'three'])
    assert.throws(
      () => store.resume('demo', head),
      (error) => error instanceof ChainBrokenError && error.seq === 5n,
    )
    // Said anew, the same place holds another entry.
    for (const text of ['vier', 'fünf']) {
      store.db.exec('DELETE FROM message WHERE seq > 3 AND text IN (?, ?)', ['four', 'five'])
      store.say(claim, 'user', text)
    }
    assert.equal(store.resume('demo').length, 5)
    assert.throws(
      () => store.resume('demo', head),
      (error) => error instanceof ChainBrokenError && error.seq === 5n,
    )
  })
})

test('the demonstration runs, and refuses what it should', () => {
  const args = ['-C', '@agent-store/source', MAIN]
  const said = execFileSync(process.execPath, args, { encoding: 'utf8' })
  assert.match(said, /owner before: refused\n {2}STORE_STALE_GENERATION/)
  assert.match(said, /turn 2 edited, resume: refused\n {2}STORE_CHAIN_BROKEN.* at seq 2/)
  assert.match(said, /turn 2 deleted, resume: refused\n {2}STORE_CHAIN_BROKEN.* at seq 2/)
  assert.match(said, /turn 3 edited, resume: refused\n {2}STORE_CHAIN_BROKEN.* at seq 3/)
  assert.match(said, /turn 3 cut off, resume: accepted/)
  assert.match(said, /turn 3 cut off, resume with the pinned head: refused/)
})
