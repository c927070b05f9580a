/** What tells of a machine or its people, taken out of what is shared. */
import type { Json } from "./json.ts";

/**
 * Text without what tells of a machine or its people: of a path that is absolute, or leads out of a folder, the last name stays.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(withoutPaths('Cannot read "/home/a b/m/x.txt": gone'), 'Cannot read "…/x.txt": gone');
 * assert.deepEqual(withoutPaths(["../../home/me/m.yaml", "C:\\Users\\me\\m"]), ["…/m.yaml", "…/m"]);
 * const kept = ["./methods/a.yaml", "owner/model", "https://arxiv.org/abs/1", "4/8", "/", "a / b"];
 * assert.deepEqual(withoutPaths(kept), kept);
 * ```
 */
export function withoutPaths<T extends Json>(value: T): T {
  if (typeof value === "string") {
    return value
      .replaceAll(/"(?:[A-Za-z]:[\\/]|\/|(?:\.\.[\\/])+)[^"]*[\\/]([^"\\/]+)"/g, '"…/$1"')
      .replaceAll(
        /(^|[\s"'(=])(?:[A-Za-z]:[\\/]|\/|(?:\.\.[\\/])+)(?:[^\s"'()\\/:,;]+[\\/])+([^\s"'()\\/:,;]*)/g,
        "$1…/$2",
      )
      .replaceAll(/(^|[\s"'(=])[A-Za-z]:\\([^\s"'()\\/:,;]+)/g, "$1…/$2") as T;
  }
  if (Array.isArray(value)) return value.map((each) => withoutPaths(each)) as unknown as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutPaths(each)])) as T;
}

/**
 * Where a value tells of a machine or its people.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(findPrivate({ text: { from: "/home/me/secret.txt" } }), "text.from");
 * assert.equal(findPrivate(["made on build-host.lan"], ["build-host"]), "0");
 * assert.equal(findPrivate({ model: "owner/name", sha256: "ab" }, ["build-host"]), undefined);
 * ```
 * @param names of people and machines, told as whole words
 * @returns the path of the first such text, names joined by dots; undefined where there is none
 */
export function findPrivate(value: Json, names: readonly string[] = []): string | undefined {
  const rule = new RegExp(
    `(?<![\\p{L}\\p{N}])(?:${names.map((name) => RegExp.escape(name)).join("|")})(?![\\p{L}\\p{N}])`,
    "iu",
  );
  const tells = (text: string) =>
    withoutPaths(text) !== text || /^file:/i.test(text) || names.length > 0 && rule.test(text);
  const look = (value: Json, path: readonly string[]): string | undefined => {
    if (typeof value === "string") return tells(value) ? path.join(".") : undefined;
    if (typeof value !== "object" || value === null) return undefined;
    for (const [name, member] of Object.entries(value)) {
      const found = tells(name) ? [...path, "…"].join(".") : look(member, [...path, name]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return look(value, []);
}
