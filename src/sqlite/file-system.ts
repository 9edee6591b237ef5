/**
 * Whether WAL can be had where a file lies. It needs memory that all processes share, which file
 * systems of other machines do not have: some refuse it, and some give it to each machine apart,
 * so that a second one damages the file (https://www.sqlite.org/wal.html).
 *
 * @module
 */
import fs from 'node:fs'
import { dirname } from 'node:path'

/** `f_type` of statfs(2), from linux/magic.h and the file systems' own sources. */
const SHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB2'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9P'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP'],
  [0x786f4256, 'vboxsf'],
  [0xbacbacbc, 'vmhgfs'],
  [0x7c7c6673, 'prl_fs'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0x20030528, 'OrangeFS'],
  [0xaad7aaea, 'PanFS'],
  [0x7461636f, 'OCFS2'],
  [0x01161970, 'GFS2'],
])

const FUSE = 0x65735546
/** Types of the mount table that pass on to a disk of this machine, and so to its shared memory. */
const LOCAL_FUSE: ReadonlySet<string> = new Set([
  'fuseblk',
  'fuse.mergerfs',
  'fuse.bindfs',
  'fuse.fuse-overlayfs',
  'fuse.unionfs',
  'fuse.encfs',
  'fuse.gocryptfs',
  'fuse.cryfs',
  'fuse.ntfs-3g',
  'fuse.exfat',
])

/**
 * Returns the name of the file system where WAL must not be used; `undefined` where it can be tried.
 * A FUSE whose type is not known to be local is taken for one that is shared: virtiofs, gRPC-FUSE,
 * sshfs, s3fs and their like all look the same.
 */
export function sharedFileSystemOf(file: string): string | undefined {
  const type = fs.statfsSync(dirname(file)).type >>> 0
  if (type !== FUSE) return SHARED.get(type)
  const mounted = mountTypeOf(fs.realpathSync(dirname(file)), readMounts())
  return mounted !== undefined && LOCAL_FUSE.has(mounted) ? undefined : (mounted ?? 'FUSE')
}

function readMounts(): string {
  try {
    return fs.readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return ''
  }
}

/**
 * Returns the type of the mount that `folder` lies in, by a table as `/proc/self/mountinfo` has it
 * (proc(5)); `undefined` where the table names none.
 */
export function mountTypeOf(folder: string, mounts: string): string | undefined {
  let found: { readonly point: string; readonly type: string } | undefined
  for (const line of mounts.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    const point = unescaped(left.split(' ')[4] ?? '')
    const [type = ''] = right.split(' ')
    const isAbove =
      point !== '' && (point === '/' || folder === point || folder.startsWith(`${point}/`))
    // Of two mounts on one point, the later one is seen.
    if (isAbove && type !== '' && point.length >= (found?.point.length ?? 0))
      found = { point, type }
  }
  return found?.type
}

/** Space, tab, newline and backslash stand as octal numbers in the table. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
