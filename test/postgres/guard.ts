/**
 * What a test has started ends with the test, however that ends: a shell of its own waits on
 * a pipe that only we hold, and cleans up when the system closes it.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'

const SCRIPT = `
trap '' INT TERM HUP
cat
pid=$(head -n 1 "$1/$2" 2>/dev/null) &&
  kill -9 "$pid" $(ps -A -o pid= -o ppid= | awk -v pid="$pid" '$2 == pid { print $1 }')
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

/**
 * Have `folder` removed when this process is gone, and the process killed whose number is in
 * its `pidFile`, with its children.
 * @returns what has it done at once.
 */
export function guard(folder: string, pidFile: string): () => void {
  const shell = spawn('sh', ['-c', SCRIPT, 'sh', folder, pidFile], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  return () => void shell.stdin.end()
}

/** Below those that systems give to outgoing connections, so that a restart finds it free. */
export function freshPort(): number {
  return randomInt(20_000, 32_000)
}
