/** Why a request got no answer. */

/**
 * What the runtime says of a `fetch` that failed: the innermost cause, as the outer errors say no more than that it did; without the
 * address, whose query may be secret.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { whyFetchFailed } from "./failed_fetch.ts";
 *
 * const said = "error sending request for url (https://h/x?key=1): client error (Connect): invalid peer certificate: UnknownIssuer";
 * const error = new TypeError("fetch failed", { cause: new Error(said) });
 * assert.equal(whyFetchFailed(error), "invalid peer certificate: UnknownIssuer");
 * assert.equal(whyFetchFailed("gone"), "gone");
 * ```
 */
export function whyFetchFailed(error: unknown): string {
  let inner = error;
  for (let depth = 0; depth < 8 && inner instanceof Error && inner.cause instanceof Error; depth++) inner = inner.cause;
  const message = inner instanceof Error ? inner.message : `${inner}`;
  return message.replace(/ ?for url \([^)]*\)/, "").replace(/^error sending request: /, "")
    .replace(/^client error \(Connect\): /, "").replaceAll(/https?:\/\/([^\s/)]+)[^\s)]*/g, "$1");
}
