/** A thread that appends an entry, and rings, whenever it is told to. @module */
import { parentPort, workerData } from 'node:worker_threads'
import { Doorbell, SqliteBackend, WriterLog } from 'agent-store'
import { ThreadBell } from 'agent-store/follow'

const db = SqliteBackend.open(workerData as string)
using threads = new ThreadBell('test')
const bell = new Doorbell()
bell.tie(db)
bell.subscribe((event) => threads.ring(event))
parentPort?.postMessage('ready')
await new Promise<void>((end) => {
  parentPort?.on('message', (text: string) => {
    if (text === 'end') end()
    else WriterLog.append(db, 's', 'thread', text)
  })
})
db.close()
parentPort?.close()
