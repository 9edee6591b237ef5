/** One of several processes that append under a name of its own; says how many a second. */
import { chainHash, type Head, WriterLog } from 'agent-store'
import { PgBackend } from 'agent-store/postgres'

const [, , kind, url = '', writer = '', runMs = '1000', commit = 'on'] = process.argv
const payload = new Uint8Array(256).fill(97)
using db = PgBackend.connect(url)
db.query("SELECT set_config('synchronous_commit', ?, false)", [commit])

/** What the guarded statement replaces: two round trips. */
function readThenInsert(): void {
  const [row] = db.query(
    'SELECT seq, content_hash FROM _agent_store_log WHERE stream = ? AND writer = ? ORDER BY seq DESC LIMIT 1',
    ['naive', writer],
  )
  const head = row === undefined ? null : ({ seq: row[0], contentHash: row[1] } as Head)
  const prevHash = head?.contentHash ?? null
  db.exec(
    'INSERT INTO _agent_store_log (stream, writer, seq, prev_hash, content_hash, payload) VALUES (?, ?, ?, ?, ?, ?)',
    ['naive', writer, (head?.seq ?? 0n) + 1n, prevHash, chainHash(prevHash, payload), payload],
  )
}

const append =
  kind === 'append' ? () => WriterLog.append(db, 'ours', writer, payload) : readThenInsert
for (let i = 0; i < 50; i++) append()
const start = performance.now()
let count = 0
while (performance.now() - start < Number(runMs)) {
  append()
  count++
}
console.log((1000 * count) / (performance.now() - start))
