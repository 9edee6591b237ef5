/**
 * Entries, heads and commit events: plain types, without code.
 *
 * @module
 */

/** One entry. Its byte arrays may be views on a part of a buffer that holds other bytes as well. */
export interface Entry {
  readonly stream: string
  readonly writer: string
  /** From 1, without gaps within `(stream, writer)`. */
  readonly seq: bigint
  /** The previous entry's `contentHash`; `null` for `seq` 1. */
  readonly prevHash: Uint8Array | null
  /** `BLAKE3(prevHash? || payload)`, 32 bytes. */
  readonly contentHash: Uint8Array
  readonly payload: Uint8Array
}

/** How far a log reaches. Pin both: a hash alone does not say how many entries led to it. */
export interface Head {
  readonly seq: bigint
  readonly contentHash: Uint8Array
}

/** Names a log. */
export interface LogName {
  readonly stream: string
  readonly writer: string
}

/** A head, and the log whose head it is. */
export interface LogHead extends Head, LogName {}

/** The announcement of a commit: where it landed, and its content hash. */
export interface CommitEvent extends LogName {
  readonly seq: bigint
  /** 32 bytes. */
  readonly contentHash: Uint8Array
}
