/** A wait that ends with what it is for. */

/**
 * Waits.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { pause } from "./pause.ts";
 * await assert.rejects(pause(10_000, AbortSignal.abort(new Error("stopped"))), /stopped/);
 * ```
 * @throws the signal's reason when it is aborted meanwhile
 */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
