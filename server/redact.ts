/** What leaves the server: no absolute paths, no access tokens, whatever journals, recipes and messages hold. */
import { withoutPaths } from "../files/without_paths.ts";
import type { Json } from "../runner/stage.ts";

/** Access tokens of the hub and of others that are written alike. */
const TOKENS = /\b(?:hf|ghp|gho|sk|glpat)[_-][A-Za-z0-9_-]{16,}/g;
/** What lies at the root itself; longer paths are `withoutPaths`'s. */
const ROOTED = /(^|[\s"'(=])\/([^\s"'()\\/:,;]+)(?=$|[\s"'),;])/g;
/** User and password in an address. */
const CREDENTIALS = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@:]+(?::[^\s/@]*)?@/gi;

/**
 * The same value without what tells of a machine, its people or their secrets, in every string at any depth.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(redact({ error: "Cannot read /home/me/model/x.txt with hf_abcdefghijklmnopqrst" }), {
 *   error: "Cannot read …/x.txt with …",
 * });
 * assert.equal(redact("https://me:secret@host/a/b"), "https://…@host/a/b");
 * assert.deepEqual(redact(["/model", "4/8", "./a.yaml", "a / b"]), ["…/model", "4/8", "./a.yaml", "a / b"]);
 * ```
 */
export function redact<T>(value: T): T {
  return clean(value as Json) as T;
}

function clean(value: Json): Json {
  if (typeof value === "string") return cleanText(value);
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, clean(each)]));
}

/** Most texts are names without anything of the kind, of which there may be ten thousands. */
function cleanText(text: string): string {
  const safe = text.replaceAll(TOKENS, "…");
  if (!/[\\/]/.test(safe)) return safe;
  return withoutPaths(safe.replaceAll(CREDENTIALS, "$1…@")).replaceAll(ROOTED, "$1…/$2");
}
