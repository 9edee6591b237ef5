/**
 * The `options` word of a connection string: settings that a session starts with.
 *
 * @module
 */
import { PolicyError } from '../../index.ts'
import { shown } from './keywords.ts'

/** Names that mean another thing in a startup packet, or that the wire codec stands on. */
const OWN: readonly string[] = ['user', 'database', 'replication', 'options', 'client_encoding']

/**
 * `-c name=value`, `-cname=value` and `--name=value`, as PostgreSQL reads them: words end at a
 * blank, a backslash takes the character after it as it is, '-' in a name stands for '_'.
 * @param from Where the text was said, for the error.
 * @throws PolicyError for another switch, or a setting that the backend keeps for itself.
 */
export function startupSettings(text: string, from: string): Map<string, string> {
  const settings = new Map<string, string>()
  const switches = (text.match(/(?:\\.|[^\s\\])+/gs) ?? []).map((word) =>
    word.replace(/\\(.)/gs, '$1'),
  )
  for (let n = 0; n < switches.length; n += 1) {
    const word = switches[n] === '-c' ? `-c${switches[++n] ?? ''}` : (switches[n] ?? '')
    const [, name, value] = /^(?:--|-c)([A-Za-z_][\w.$-]*)=(.*)$/s.exec(word) ?? []
    if (name === undefined || value === undefined) {
      throw new PolicyError(
        `${from} must be switches of the form -c name=value or --name=value, got ${shown(word)}`,
      )
    }
    const setting = name.replaceAll('-', '_').toLowerCase()
    if (OWN.includes(setting) || setting.startsWith('_pq_.')) {
      throw new PolicyError(`${from} cannot set ${shown(setting)}, which the backend sets itself`)
    }
    settings.set(setting, value)
  }
  return settings
}
