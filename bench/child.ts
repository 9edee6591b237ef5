/** What must be measured in a process of its own: memory of a verification, import, opening. */
import { readFileSync } from 'node:fs'

const [, , what, file = ''] = process.argv
const start = performance.now()
const { SqliteBackend, WriterLog } = await import('agent-store')
const loaded = performance.now()
if (what === 'import') console.log(`${(loaded - start).toFixed(1)} ms (target 30)`)
else {
  using db = SqliteBackend.open(file)
  const opened = performance.now()
  if (what === 'open') console.log(`${(opened - loaded).toFixed(2)} ms (target 5)`)
  else {
    const { entries } = WriterLog.verifyAll(db)
    console.log(
      `${(peakKilobytes() / 1024).toFixed(0)} MB resident at most, ${entries} entries (target 100)`,
    )
  }
}

/** On Linux `maxRSS` starts at what the process that spawned this one had resident. */
function peakKilobytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
}
