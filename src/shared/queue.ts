/**
 * Things that arrive at one place and are waited for at another.
 *
 * @module
 */

/** What arrives, and those who wait for it. */
export class Queue<T> {
  readonly #items: T[] = []
  #waiting: ((item: T | undefined) => void)[] = []
  #isEnded = false

  /** How many have arrived that nobody has taken. */
  get size(): number {
    return this.#items.length
  }

  push(item: T): void {
    const wake = this.#waiting.shift()
    if (wake !== undefined) wake(item)
    else if (!this.#isEnded) this.#items.push(item)
  }

  /** The next, now or when it comes; `undefined` after the end. */
  next(): Promise<T | undefined> {
    const item = this.#isEnded ? undefined : this.#items.shift()
    if (item !== undefined || this.#isEnded) return Promise.resolve(item)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Nothing comes any more, and what was not taken is dropped. */
  end(): void {
    this.#isEnded = true
    this.#items.length = 0
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake(undefined)
  }
}
