/**
 * The log of a run of failovers, as the Markdown that is kept in `docs/`.
 *
 * @module
 */
import os from 'node:os'
import type { Round } from './failover.ts'

/** The value that `share` (0 to 1) of all are not above. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

function row(...cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |`
}

function table(head: readonly string[], rows: readonly string[]): string[] {
  return [row(...head), row(...head.map(() => '---')), ...rows]
}

function spread(values: readonly number[]): string {
  return [0.5, 0.99, 1].map((share) => Math.round(quantile(values, share))).join(', ')
}

function total(rounds: readonly Round[], count: (round: Round) => number): number {
  return rounds.reduce((sum, round) => sum + count(round), 0)
}

/** What each server's rounds have shown together. */
export function summary(rounds: readonly Round[]): string[] {
  const versions = [...new Set(rounds.map(({ version }) => version))]
  return table(
    [
      'PostgreSQL',
      'failovers',
      'acknowledged',
      'lost',
      'twice',
      'outage ms: median, p99, worst',
      'promotion ms: median, p99, worst',
      'old timeline in `pg_control_checkpoint()`',
    ],
    versions.map((version) => {
      const own = rounds.filter((round) => round.version === version)
      return row(
        version,
        own.length,
        total(own, ({ acknowledged }) => acknowledged),
        total(own, ({ lost }) => lost),
        total(own, ({ twice }) => twice),
        spread(own.flatMap(({ outagesMs }) => outagesMs)),
        spread(own.map(({ promotionMs }) => promotionMs)),
        total(own, ({ checkpointTimeline }) => (checkpointTimeline === 1 ? 1 : 0)),
      )
    }),
  )
}

/** The whole log. */
export function failoverLog(rounds: readonly Round[]): string {
  const lines = [
    '# A run of failovers',
    '',
    `Written by \`npm run test:failover\`, on ${os.availableParallelism()} processor cores, Node ` +
      `${process.versions.node}, flushes on. In each round six`,
    'processes append to a primary with a synchronous standby (`remote_apply`); the primary is',
    'killed with SIGKILL, the standby is promoted, and the old primary is started again, writable,',
    'beside it; then the new one is restarted, and each client must have refused the old one. At the',
    'end all chains are verified, and every entry that a client was acknowledged is looked for.',
    '',
    'An outage is what a client saw: from its last acknowledgement before the kill to its first',
    'after. It includes the promotion, which is from the request to the first connection, by the',
    "server's own log. The last column counts the promotions right after which the server still",
    'named its old timeline there.',
    '',
    ...summary(rounds),
    '',
    '## Round by round',
    '',
    ...table(
      ['round', 'PostgreSQL', 'acknowledged', 'lost', 'twice', 'outages ms', 'promotion ms'],
      rounds.map(({ version, acknowledged, lost, twice, outagesMs, promotionMs }, i) =>
        row(
          i + 1,
          version,
          acknowledged,
          lost,
          twice,
          outagesMs.map(Math.round).join(', '),
          promotionMs,
        ),
      ),
    ),
  ]
  return `${lines.join('\n')}\n`
}
