/**
 * A process that claims a conversation, waits, and then speaks.
 *
 * @module
 */
import { readSync, writeSync } from 'node:fs'
import { StoreError } from 'agent-store'
import { ConversationStore } from '../../examples/conversation-store/conversation-store.ts'

const [, , path = '', conversation = '', text = ''] = process.argv
using store = new ConversationStore(path)
const claim = store.claim(conversation)
writeSync(1, `${claim.generation}\n`)
readSync(0, new Uint8Array(1))
try {
  writeSync(1, `seq ${store.say(claim, 'user', text).seq}\n`)
} catch (error) {
  if (!(error instanceof StoreError)) throw error
  writeSync(1, `${error.code}\n`)
}
