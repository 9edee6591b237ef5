/**
 * Conversations on a tamper-evident log, with a domain table that commits with it.
 *
 * The log decides what was said and in which order; `message` is the application's own
 * view of it. The time of a turn is what somebody claimed, and orders nothing.
 *
 * @module
 */
import { type Entry, Generation, type Head, SqliteBackend, WriterLog } from 'agent-store'

/** Who said a turn. */
export type Role = 'user' | 'assistant'

/** One turn, in the place that the log gives it. */
export interface Turn {
  readonly seq: bigint
  readonly role: Role
  readonly text: string
  /** What the speaker's clock claimed; for display only. */
  readonly claimedAt: string
}

/** The right to speak in a conversation, until somebody else claims it. */
export interface Claim {
  readonly conversation: string
  readonly generation: bigint
}

// One log a conversation: a chain of its own for each role would not order them.
const WRITER = 'turns'

const streamOf = (conversation: string) => `conversation:${conversation}`
const ownerOf = (conversation: string) => new Generation(`owner of conversation:${conversation}`)

/** Conversations in one file, which several processes may share. */
export class ConversationStore implements Disposable {
  /** For the application's own queries. */
  readonly db: SqliteBackend
  readonly #now: () => Date

  constructor(path: string, now: () => Date = () => new Date()) {
    this.db = SqliteBackend.open(path)
    this.#now = now
    WriterLog.ensureSchema(this.db)
    Generation.ensureSchema(this.db)
    this.db.exec(`CREATE TABLE IF NOT EXISTS message (
      conversation TEXT NOT NULL, seq INTEGER NOT NULL,
      role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
      text TEXT NOT NULL, claimed_at TEXT NOT NULL,
      PRIMARY KEY (conversation, seq))`)
  }

  /** Take a conversation over; every earlier claim on it is superseded. */
  claim(conversation: string): Claim {
    return { conversation, generation: ownerOf(conversation).bump(this.db) }
  }

  /**
   * Say a turn: on disk when this returns, in the log and in `message`, or in neither.
   * @returns the entry; its `seq` and `contentHash` are the head to pin.
   * @throws StaleGenerationError when somebody else has claimed the conversation since.
   */
  say(claim: Claim, role: Role, text: string): Entry {
    const { conversation, generation } = claim
    const claimedAt = this.#now().toISOString()
    return this.db.transaction(() => {
      ownerOf(conversation).fence(this.db, generation)
      const payload = JSON.stringify({ role, text, claimedAt })
      const entry = WriterLog.append(this.db, streamOf(conversation), WRITER, payload)
      this.db.exec('INSERT INTO message VALUES (?, ?, ?, ?, ?)', [
        conversation,
        entry.seq,
        role,
        text,
        claimedAt,
      ])
      return entry
    })
  }

  /**
   * All turns in order, verified and read in one snapshot.
   * @param pinned A head that was kept elsewhere: with it, a cut tail is refused as well.
   * @throws ChainBrokenError that names the first turn which is not what was said.
   */
  resume(conversation: string, pinned?: Head): Turn[] {
    const stream = streamOf(conversation)
    return this.db.snapshot(() => {
      if (pinned) WriterLog.verify(this.db, stream, WRITER, { from: pinned })
      return WriterLog.verifiedEntries(this.db, stream, WRITER).map(toTurn)
    })
  }

  /** Close the file. */
  [Symbol.dispose](): void {
    this.db.close()
  }
}

function toTurn({ seq, payload }: Entry): Turn {
  const said = JSON.parse(new TextDecoder().decode(payload)) as Omit<Turn, 'seq'>
  return { seq, role: said.role, text: said.text, claimedAt: said.claimedAt }
}
