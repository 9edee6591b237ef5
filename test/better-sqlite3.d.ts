/** As much of better-sqlite3's types as the tests need; its own need an install script. */
declare module 'better-sqlite3' {
  export default class Database {
    constructor(file: string, options?: { readonly timeout?: number })
    readonly inTransaction: boolean
    readonly open: boolean
    readonly memory: boolean
    // biome-ignore lint/suspicious/noExplicitAny: as in the package's own types
    prepare(sql: string): any
    exec(sql: string): this
    close(): this
  }
}
