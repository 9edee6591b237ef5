/** The program on the real Rust crate: built once, run by the interop check and the benchmark. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'

const folder = join(import.meta.dirname, 'rust')

/** Where the program is, or why it cannot be had here. */
export type RustProgram = { readonly path: string } | { readonly missing: string }

/** Build the program in release mode. What cargo says goes to standard error. */
export function buildRust(): RustProgram {
  if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) {
    return { missing: 'there is no cargo on this machine' }
  }
  const args = ['build', '--release', '--locked', '--quiet']
  const { status } = spawnSync('cargo', args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) return { missing: 'cargo could not build it (is there a registry?)' }
  return { path: join(folder, 'target', 'release', 'interop') }
}

/** Run a subcommand and give back what it prints. @throws when it fails. */
export function runRust(path: string, ...args: string[]): string {
  return execFileSync(path, args, { encoding: 'utf8', maxBuffer: 1 << 30 })
}
