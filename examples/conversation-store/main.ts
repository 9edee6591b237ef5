/**
 * A conversation, a takeover, a clock that runs backwards and three manipulations.
 *
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StoreError } from 'agent-store'
import { ConversationStore } from './conversation-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'conversation-store-'))
const path = join(folder, 'conversations.db')
// This clock goes back an hour each time that it is asked.
let hour = 20
const clock = () => new Date(Date.UTC(2026, 0, 1, hour--))

function attempt(what: string, work: () => unknown): void {
  try {
    work()
    console.log(`${what}: accepted`)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    console.log(`${what}: refused\n  ${error.code}: ${error.message}`)
  }
}

try {
  using store = new ConversationStore(path, clock)
  const alice = store.claim('demo')
  store.say(alice, 'user', 'Which of these two routes is shorter?')
  store.say(alice, 'assistant', 'The one along the river.')

  // Another process would open the same file.
  using elsewhere = new ConversationStore(path, clock)
  const bob = elsewhere.claim('demo')
  const head = elsewhere.say(bob, 'user', 'And which one has a café?')
  attempt('a turn by the owner before', () => store.say(alice, 'assistant', 'Neither.'))

  console.log('\nresumed, in the order of the log, whatever the clocks claimed:')
  for (const turn of store.resume('demo')) {
    console.log(`  ${turn.seq} ${turn.claimedAt} ${turn.role}: ${turn.text}`)
  }

  // Each manipulation is undone before the next one.
  const manipulate = (what: string, sql: string) => {
    try {
      store.db.transaction(() => {
        store.db.exec(sql)
        attempt(`\n${what}, resume`, () => store.resume('demo'))
        attempt(`${what}, resume with the pinned head`, () => store.resume('demo', head))
        throw new Error('undo')
      })
    } catch (error) {
      if (!(error instanceof Error && error.message === 'undo')) throw error
    }
  }
  const forged = `payload = CAST('{"role":"user","text":"Yes."}' AS BLOB)`
  manipulate('turn 2 edited', `UPDATE _agent_store_log SET ${forged} WHERE seq = 2`)
  manipulate('turn 2 deleted', 'DELETE FROM _agent_store_log WHERE seq = 2')
  manipulate('turn 3 edited', `UPDATE _agent_store_log SET ${forged} WHERE seq = 3`)
  manipulate('turn 3 cut off', 'DELETE FROM _agent_store_log WHERE seq = 3')
} finally {
  rmSync(folder, { recursive: true })
}
