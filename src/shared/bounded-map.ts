/**
 * A map of bounded size that gives up the entry that was used the longest time ago.
 *
 * @module
 */

/** A cache of at most `most` entries. `get` and `set` count as use; iteration does not. */
export class BoundedMap<K, V> {
  readonly #most: number
  /** The entry that was used last stands last. */
  readonly #entries = new Map<K, V>()
  #newest: K | undefined

  /** @param most How many entries the map keeps, from 1. */
  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#entries.size
  }

  /** Returns the value of `key`, and marks the entry as used. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key)
    // A caller that asks for the same key again and again, as an appender does, moves nothing.
    if (value === undefined || key === this.#newest) return value
    this.#entries.delete(key)
    this.#entries.set(key, value)
    this.#newest = key
    return value
  }

  /** Returns the value of `key`, without marking the entry as used. */
  peek(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** Returns whether `key` has an entry, without marking it as used. */
  has(key: K): boolean {
    return this.#entries.has(key)
  }

  /**
   * Keep `value` under `key`.
   * @returns the value that had to make way, where another key's had to.
   */
  set(key: K, value: V): V | undefined {
    if (key !== this.#newest) this.#entries.delete(key)
    this.#entries.set(key, value)
    this.#newest = key
    if (this.#entries.size <= this.#most) return undefined
    for (const [oldest, evicted] of this.#entries) {
      this.#entries.delete(oldest)
      return evicted
    }
    return undefined
  }

  /** Returns whether there was an entry to delete. */
  delete(key: K): boolean {
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** The entries, the one that was used the longest time ago first. */
  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.#entries.entries()
  }
}
