/** Names of runs and their folders. */

/** Most characters, and most bytes in UTF-8, of a recipe's name in an id: some file systems take 143 bytes in all. */
const [MOST_CHARACTERS, MOST_BYTES] = [48, 96];

/**
 * A run's id: time in UTC so that ids sort, a little chance, and the recipe's name: its letters and digits, of any script.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.match(makeRunId(new Date(0), "名前 1/2"), /^19700101-000000000-[0-9a-f]{6}-名前-1-2$/);
 * ```
 */
export function makeRunId(now: Date, name: string): string {
  const time = now.toISOString().replace(/[-:.Z]/g, "").replace("T", "-");
  const chance = [...crypto.getRandomValues(new Uint8Array(3))].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  return `${time}-${chance}-${
    trim(shorten(trim(name.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}.-]+/gu, "-")))) || "run"
  }`;
}

/** Without what a name cannot begin with, or end with on every file system. */
function trim(name: string): string {
  return name.replace(/^[\p{M}.-]+|[.-]+$/gu, "");
}

function shorten(name: string): string {
  let short = "";
  let bytes = 0;
  for (const character of [...name].slice(0, MOST_CHARACTERS)) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > MOST_BYTES) break;
    short += character;
  }
  return short;
}
