/**
 * What a server answers to one request: rows, counts and columns, or what went wrong.
 *
 * An answer is read to its end, so that an error in it leaves the connection usable.
 *
 * @module
 */
import type { Row } from '../../index.ts'
import type { MessageReader } from './message-reader.ts'
import { hungUp, readServerError, ServerError } from './server-message.ts'
import { kindsOf, type Statement } from './statement.ts'
import type { Kind } from './types.ts'
import type { Wire } from './wire.ts'

/** What a request gave. */
export interface Answer {
  readonly rows: Row[]
  /** Rows inserted, updated, deleted, merged or selected. */
  count: number
  /** Whether the portal has more rows. */
  suspended: boolean
  /** The types of the columns, where they were described. */
  types: number[] | undefined
}

/**
 * A statement ran, and its columns have other types than those that were described: its rows
 * were not read. The server itself refuses this, before, where it keeps the statement.
 */
export class ChangedResultError extends Error {
  override readonly name = 'ChangedResultError'

  constructor() {
    super('its columns have other types than when it was first used, and its rows were not read')
  }
}

/**
 * Read everything up to ReadyForQuery.
 * @param expected The kinds of the columns; `'text'` for whatever comes, as text.
 * @throws ServerError when something was refused, and for a commit that no standby has confirmed.
 * @throws ChangedResultError.
 */
export function readAnswer(wire: Wire, expected: Statement['kinds'] | 'text'): Answer {
  const { reader, writer } = wire
  let kinds: readonly Kind[] = expected === 'text' ? [] : (expected ?? [])
  const answer: Answer = { rows: [], count: 0, suspended: false, types: undefined }
  let failure: ServerError | ChangedResultError | undefined
  let unreplicated: ServerError | undefined
  wire.guard(() => {
    for (;;) {
      const type = reader.next()
      if (type === 'D') {
        if (!(failure instanceof ChangedResultError)) answer.rows.push(reader.row(kinds))
        continue
      }
      if (type === 'Z') break
      if (type === 'C') answer.count += countOf(reader.cstring())
      else if (type === 's') answer.suspended = true
      else if (type === 'T') {
        answer.types = readColumns(reader)
        if (expected === 'text') kinds = answer.types.map(() => 'text')
        else if (expected !== undefined && kindsOf(answer.types).join() !== expected.join()) {
          failure ??= new ChangedResultError()
        }
      } else if (type === 'E') {
        const error = readServerError(reader)
        if (error.isFatal) throw hungUp(error)
        if (!(failure instanceof ServerError)) failure = error // With it, nothing was stored.
      } else if (type === 'N') {
        const notice = readServerError(reader)
        if (notice.isUnreplicatedCommit) unreplicated = notice
      } else if (type === 'G') {
        writer.begin('f').cstring('COPY is not for this interface').end().begin('S').end()
        wire.send()
      } else if (!'123ntIHdcW'.includes(type)) wire.unasked(type)
    }
    wire.setStatus()
  })
  if (failure !== undefined) throw failure
  if (unreplicated !== undefined) throw unreplicated
  return answer
}

/** The server does not know the statement any more, or its result has other columns by now. */
export function isStale(error: unknown): boolean {
  if (error instanceof ChangedResultError) return true
  if (!(error instanceof ServerError)) return false
  const { sqlState, routine } = error
  return (
    sqlState === '26000' ||
    (sqlState === '0A000' && routine === 'RevalidateCachedQuery') ||
    (sqlState === '08P01' && routine === 'PortalSetResultFormat')
  )
}

function readColumns(reader: MessageReader): number[] {
  return Array.from({ length: reader.int16() }, () => {
    reader.cstring()
    reader.bytes(6)
    const type = reader.uint32()
    reader.bytes(8)
    return type
  })
}

function countOf(tag: string): number {
  const count = /^(?:INSERT \d+|UPDATE|DELETE|MERGE|SELECT) (\d+)$/.exec(tag)?.[1]
  return count === undefined ? 0 : Number(count)
}
