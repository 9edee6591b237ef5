/**
 * The contract between the primitives and a database. It is synchronous throughout:
 * when a call returns, its work is done; no method returns a Promise.
 *
 * `Generation` and `WriterLog` are written against this and nothing else. The cases of
 * `agent-store/testing` say in full what a backend must do; `docs/writing-a-backend.md`
 * is the guide.
 *
 * @module
 */
import type { CommitEvent } from './entry.ts'
import type { StoreError } from './errors.ts'

/**
 * What a cell holds and what a parameter may be: Null, Int (64-bit, always a `bigint`
 * when read, so that nothing is lost beyond 2^53), Real, Text, Blob.
 */
export type Value = null | bigint | number | string | Uint8Array

/** One row, its cells in the order of the columns. */
export type Row = readonly Value[]

/** The SQL that a backend speaks, for the few places where the common subset is not enough. */
export type Dialect = 'sqlite' | 'postgres'

/** A pluggable, synchronous database. SQL has `?` placeholders, one statement a call. */
export interface Backend extends Disposable {
  readonly dialect: Dialect

  /** Whether a transaction or snapshot is open on this connection, by whomever it was begun. */
  readonly inTransaction: boolean

  /**
   * Run one statement that returns no rows.
   * @returns the number of rows it inserted, updated or deleted.
   * @throws TypeError for a statement that returns rows (use {@link Backend.query}), for more
   * than one statement, for transaction control (use {@link Backend.transaction}), and for fewer or
   * more parameters than there are placeholders.
   */
  exec(sql: string, params?: readonly Value[]): number

  /**
   * Run one statement once for each row of parameters, all or none, in as few round trips as
   * the database allows.
   * @returns the number of rows inserted, updated or deleted, all together.
   * @throws as {@link Backend.exec}.
   */
  execMany(sql: string, rows: readonly (readonly Value[])[]): number

  /**
   * Run one statement and return all its rows; also for `RETURNING`. The rows are the caller's
   * from then on: it may change their bytes, or free them.
   */
  query(sql: string, params?: readonly Value[]): Row[]

  /**
   * A hint, for a backend whose database works elsewhere: begin a read that the next `query`
   * will ask for with the same arguments, and work on while the database prepares it. If the
   * caller makes any other call first, the backend throws the prefetched answer away.
   */
  ahead?(sql: string, params: readonly Value[]): void

  /**
   * The rows one at a time, in bounded memory. The statement runs as long as the iterator
   * is neither finished nor returned from (a `break` in `for…of` is enough).
   */
  iterate(sql: string, params?: readonly Value[]): IterableIterator<Row>

  /**
   * Run `work` in a write transaction, and commit it durably; a throw rolls it back and passes
   * through. A call inside another transaction is a savepoint of it. In the dialect `sqlite` it
   * excludes other writers from its start; in `postgres` it is READ COMMITTED, and excludes
   * them from what it has locked.
   * @throws TypeError when `work` is asynchronous (rolled back), or inside a snapshot.
   */
  transaction<T>(work: () => T): T

  /**
   * Run `work` on one unchanging state of the database. It cannot write. Inside a
   * transaction it sees that transaction.
   */
  snapshot<T>(work: () => T): T

  /**
   * Run `action` once the work at hand is durable: at once outside a transaction, else
   * after the outermost commit, and never if a rollback undoes what is being done. Where an action
   * commits by itself, the actions of its commit run behind those of the first one.
   */
  afterCommit(action: () => void): void

  /**
   * Where the database can tell: call `ring` when another connection may have committed, with
   * what it committed where that is known. A hint, from the event loop, that may be late, come
   * twice or be lost; it does not keep the process alive.
   * @param onLost Called once when `ring` will be called no more, with the reason.
   * @returns a function that ends the watch; `undefined` where the database cannot tell.
   */
  watch?(
    ring: (event?: CommitEvent) => void,
    onLost: (reason: StoreError) => void,
  ): (() => void) | undefined

  /**
   * For a backend that gives an answer up after a while: run `work`, in which one may take as
   * long as it takes. For statements that are long by nature, such as laying an index.
   */
  patiently?<T>(work: () => T): T

  /**
   * For a backend that can find out late that its database was taken away: told of the first entry
   * of each append that is acknowledged, so that its error can name what may be lost.
   */
  acknowledged?(event: CommitEvent): void

  /** Give back what the backend holds. Closing again does nothing. */
  close(): void
}
