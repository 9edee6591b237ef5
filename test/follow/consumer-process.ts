/**
 * A consumer that is killed and started again: copies each entry that it consumes into a table
 * of its own, in the transaction that moves its cursor.
 *
 * @module
 */
import { Consumer, consume } from 'agent-store/follow'
import { openStore, type Store } from '../processes/store.ts'

const [, script, store, batch] = process.argv
if (script === import.meta.filename && store !== undefined) {
  using db = await openStore(JSON.parse(store) as Store)
  console.log('ready')
  const options = { pollMs: 100, batch: Number(batch ?? 100) }
  await consume(db, new Consumer('copy'), options, ({ stream, writer, seq }) => {
    // No primary key: an entry that counts twice is to be seen, not refused.
    db.exec('INSERT INTO copied VALUES (?, ?, ?)', [stream, writer, seq])
  })
}
