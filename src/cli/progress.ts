/**
 * How far long work has come, on standard error.
 *
 * @module
 */
import { count } from './output.ts'

/** Of `total` entries; it shows nothing where there are none, or no terminal. */
export class ProgressBar {
  readonly #total: number
  #done = 0
  #shown = -1

  constructor(total: number) {
    this.#total = process.stderr.isTTY === true ? total : 0
  }

  add(entries: number): void {
    if (this.#total === 0) return
    this.#done += entries
    const percent = Math.floor((100 * this.#done) / this.#total)
    if (percent === this.#shown) return
    this.#shown = percent
    const filled = Math.round(percent / 4)
    process.stderr.write(
      `\r${'█'.repeat(filled)}${'░'.repeat(Math.max(25 - filled, 0))} ${percent}%  ${count(this.#done)} entries `,
    )
  }

  clear(): void {
    if (this.#shown >= 0) process.stderr.write('\r\u001b[2K')
    this.#shown = -1
  }
}
