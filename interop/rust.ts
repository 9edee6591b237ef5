/** The program on the real Rust crate: built once, run by the interop check and the benchmark. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Where the program is, or why it cannot be had here. */
export type RustProgram = { readonly path: string } | { readonly missing: string }

/**
 * Build the program of a folder here in release mode. What cargo says goes to standard error.
 * @param name the program's name, where it is not `interop`.
 */
export function buildRust(folder = 'rust', name = 'interop'): RustProgram {
  const cwd = join(import.meta.dirname, folder)
  if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) {
    return { missing: 'there is no cargo on this machine' }
  }
  const args = ['build', '--release', '--locked', '--quiet']
  const { status } = spawnSync('cargo', args, {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (status !== 0) return { missing: 'cargo could not build it (is there a registry?)' }
  return { path: join(cwd, 'target', 'release', name) }
}

/** Run a subcommand and give back what it prints. @throws when it fails. */
export function runRust(path: string, ...args: string[]): string {
  return execFileSync(path, args, { encoding: 'utf8', maxBuffer: 1 << 30 })
}
