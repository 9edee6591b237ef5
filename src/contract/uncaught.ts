/**
 * The way out for an error of somebody else's callback, once the work that called it
 * is durable: thrown on its own, so that it neither makes the work look failed nor is
 * swallowed. Node reports it as an uncaught exception, as for an event listener.
 *
 * @module
 */
export function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
