/**
 * A streaming standby: a second server that follows a primary, and can take its place.
 *
 * @module
 */
import fs from 'node:fs'
import { join } from 'node:path'
import { copyData } from './data-folder.ts'
import { waitUntil } from './process-table.ts'
import { prepareServer, type Server, type ServerOptions } from './server.ts'

export interface StandbyOptions extends ServerOptions {
  /** A commit on the primary waits until the standby shows it. Default: false. */
  readonly synchronous?: boolean
  /** What the primary knows it by. Default: `standby`. */
  readonly name?: string
}

/**
 * A standby of `primary`, with the same options but for those given. It is copied from the
 * primary, which stops for that, starts again, and so loses its connections.
 *
 * The settings by which commits wait are the primary's own: once promoted, the standby waits
 * for nobody, and a killed primary, started again, still waits for the standby.
 */
export function startStandby(
  primary: Server,
  { synchronous = false, name = 'standby', ...options }: StandbyOptions = {},
): Server {
  primary.stop()
  const { installation, certificates: tls = false } = primary
  const standby = prepareServer(
    { ...primary.options, installation, tls, ...options },
    (_, folder) => {
      copyData(installation, join(primary.folder, 'data'), folder)
      fs.writeFileSync(join(folder, 'data/standby.signal'), '')
    },
  )
  const { port, user, password } = primary
  standby.configure(
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=${user} password=${password} application_name=${name}'`,
    'wal_retrieve_retry_interval = 100ms', // when the primary comes back
  )
  if (synchronous) {
    primary.configure(`synchronous_standby_names = '${name}'`, 'synchronous_commit = remote_apply')
  }
  primary.start()
  standby.start()
  waitUntil('the standby follows', () => standby.log().includes('started streaming WAL'))
  return standby
}
