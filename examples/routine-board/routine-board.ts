/**
 * A board of tasks and reports, ordered by the run that wrote them instead of by a clock.
 *
 * @module
 */
import { Generation, SqliteBackend } from 'agent-store'

/** Reports that are kept; older ones are pruned. */
const REPORTS_KEPT = 16n

/** A board as JSON: generations are decimal strings, `null` for a task that is not done. */
export interface BoardJson {
  readonly report: string
  readonly tasks: { id: string; title: string; createdGen: string; doneGen: string | null }[]
  readonly reports: { gen: string; text: string }[]
}

const report = new Generation('report')

/** The board in one file, which several processes may share. */
export class RoutineBoard implements Disposable {
  /** For the application's own queries. */
  readonly db: SqliteBackend

  /** @throws SyntaxError, RangeError when the counter of an older version is no number. */
  constructor(path: string) {
    this.db = SqliteBackend.open(path)
    Generation.ensureSchema(this.db)
    this.db.transaction(() => {
      this.db.exec(`CREATE TABLE IF NOT EXISTS task (
        id TEXT PRIMARY KEY, title TEXT NOT NULL,
        created_gen INTEGER NOT NULL, done_gen INTEGER)`)
      this.db.exec(
        'CREATE TABLE IF NOT EXISTS report (gen INTEGER PRIMARY KEY, text TEXT NOT NULL)',
      )
      this.db.exec('CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT)')
      this.#carryOver()
    })
  }

  /** Start a run; its generation is on disk before this returns, and is never given out again. */
  startRun(): Run {
    return new Run(this.db, report.bump(this.db))
  }

  /** The generation of the run that started last. */
  get generation(): bigint {
    return report.current(this.db)
  }

  /** The board as one moment had it. */
  exportJson(): BoardJson {
    return this.db.snapshot(() => ({
      report: String(report.current(this.db)),
      tasks: this.db
        .query('SELECT id, title, created_gen, done_gen FROM task ORDER BY id')
        .map(([id, title, createdGen, doneGen]) => ({
          id: String(id),
          title: String(title),
          createdGen: String(createdGen),
          doneGen: doneGen === null ? null : String(doneGen),
        })),
      reports: this.db
        .query('SELECT gen, text FROM report ORDER BY gen')
        .map(([gen, text]) => ({ gen: String(gen), text: String(text) })),
    }))
  }

  /** Add what `board` has and this one lacks, all or nothing. The counter only moves forward. */
  importJson(board: BoardJson): void {
    this.db.transaction(() => {
      for (const { id, title, createdGen, doneGen } of board.tasks) {
        this.db.exec(
          `INSERT INTO task VALUES (?, ?, ?, ?) ON CONFLICT (id)
             DO UPDATE SET done_gen = coalesce(done_gen, excluded.done_gen)`,
          [id, title, BigInt(createdGen), doneGen === null ? null : BigInt(doneGen)],
        )
      }
      for (const { gen, text } of board.reports) {
        this.db.exec('INSERT INTO report VALUES (?, ?) ON CONFLICT DO NOTHING', [BigInt(gen), text])
      }
      prune(this.db)
      this.#advance(BigInt(board.report))
    })
  }

  /** Close the file. */
  [Symbol.dispose](): void {
    this.db.close()
  }

  /** An older version kept the counter as text. Taken over and removed in one commit. */
  #carryOver(): void {
    const taken = "DELETE FROM settings WHERE key = 'report_counter' RETURNING value"
    const value = this.db.query(taken)[0]?.[0]
    if (typeof value === 'string') this.#advance(BigInt(value))
  }

  #advance(value: bigint): void {
    if (value > report.current(this.db)) report.set(this.db, value)
  }
}

/** One run, which stamps what it writes with its generation. */
export class Run {
  readonly generation: bigint
  readonly #db: SqliteBackend

  constructor(db: SqliteBackend, generation: bigint) {
    this.#db = db
    this.generation = generation
  }

  /** Put a task on the board. @returns whether it was new. */
  add(id: string, title: string): boolean {
    const sql = 'INSERT INTO task VALUES (?, ?, ?, NULL) ON CONFLICT DO NOTHING'
    return this.#db.exec(sql, [id, title, this.generation]) === 1
  }

  /** Mark a task as done by this run. @returns whether it was open. */
  finish(id: string): boolean {
    const sql = 'UPDATE task SET done_gen = ? WHERE id = ? AND done_gen IS NULL'
    return this.#db.exec(sql, [this.generation, id]) === 1
  }

  /** Keep this run's report, and the last 16 with it. */
  report(text: string): void {
    this.#db.transaction(() => {
      this.#db.exec('INSERT INTO report VALUES (?, ?)', [this.generation, text])
      prune(this.#db)
    })
  }
}

function prune(db: SqliteBackend): void {
  db.exec(
    'DELETE FROM report WHERE gen NOT IN (SELECT gen FROM report ORDER BY gen DESC LIMIT ?)',
    [REPORTS_KEPT],
  )
}
