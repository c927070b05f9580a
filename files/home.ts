/** `~` at the beginning of a path, as shells read it; they do not in `--cache=~/x`, in a variable, or in a recipe. */
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * A path with the user's home folder in place of a leading `~`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(expandHome("~/models", "/home/me").replaceAll("\\", "/"), "/home/me/models");
 * assert.equal(expandHome("models/~", "/home/me"), "models/~");
 * assert.throws(() => expandHome("~you/models", "/home/me"), /write out the path, or .\/~you\/models for a folder/);
 * ```
 * @param home by default the system's word on it
 * @throws {RangeError} for another user's home, or where no home is known
 */
export function expandHome(path: string, home: string | undefined = findHome()): string {
  if (!path.startsWith("~")) return path;
  const remedy = `write out the path, or ./${path} for a folder of that name`;
  if (!/^~($|[/\\])/.test(path)) {
    throw new RangeError(`Cannot use path ${path}: only the own home folder, ~/, is known here; ${remedy}`);
  }
  if (!home) throw new RangeError(`Cannot use path ${path}: no home folder is known, as HOME is not set; ${remedy}`);
  return join(home, path.slice(1));
}

function findHome(): string | undefined {
  try {
    return homedir() ?? undefined;
  } catch {
    return undefined;
  }
}
