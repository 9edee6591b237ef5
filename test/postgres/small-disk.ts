/**
 * A disk that is soon full: a file system in memory of a size that can grow.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Account, giveTo } from './installation.ts'

export interface SmallDisk {
  /** Where it is mounted. */
  readonly folder: string
  grow(toMiB: number): void
}

/** Why there is none here, or `false`. */
export function withoutSmallDisk(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root mounts a tmpfs'
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-disk-'))
  const { status } = mount(folder, 1)
  if (status === 0) spawnSync('umount', [folder])
  fs.rmdirSync(folder)
  return status !== 0 && 'this system lets nobody mount a tmpfs'
}

// As in `guard.ts`: it cleans up when nobody holds its stdin any more.
const SCRIPT = `trap '' INT TERM HUP; cat; umount -l "$1"; rmdir "$1"`

/** One for the time of a test, which `account` may write to. */
export function makeSmallDisk(
  t: Pick<TestContext, 'after'>,
  account: Account,
  sizeMiB: number,
): SmallDisk {
  const folder = fs.mkdtempSync(join(os.tmpdir(), 'agent-store-disk-'))
  const { status, stderr } = mount(folder, sizeMiB)
  if (status !== 0) throw new Error(`mount: ${stderr}`)
  const shell = spawn('sh', ['-c', SCRIPT, 'sh', folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  t.after(() => void shell.stdin.end())
  giveTo(account, folder)
  fs.chmodSync(folder, 0o700)
  return { folder, grow: (toMiB) => void mount(folder, toMiB, 'remount,') }
}

function mount(
  folder: string,
  sizeMiB: number,
  how = '',
): { status: number | null; stderr: string } {
  const options = `${how}size=${sizeMiB}m`
  return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { encoding: 'utf8' })
}
