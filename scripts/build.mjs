// Compiles src/ to dist/, from an empty folder, and marks the command line as executable.
import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })
const shell = process.platform === 'win32'
const { status } = spawnSync('tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit', shell })
if (status !== 0) process.exit(status ?? 1)
chmodSync('dist/cli/bin.js', 0o755)
