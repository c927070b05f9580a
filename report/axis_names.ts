/** Axes of a sweep in few words. */
import type { Json } from "../runner/stage.ts";

/**
 * Short names of recipe paths: as much of the end of each as no other has.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const names = axisNames(["stages.spbo.resign", "stages.calibrate.seed", "stages.fine-search.seed"]);
 * assert.deepEqual(names.map(({ name }) => name), ["resign", "calibrate.seed", "fine-search.seed"]);
 * ```
 */
export function axisNames(paths: readonly string[]): { readonly path: string; readonly name: string }[] {
  return paths.map((path) => {
    const parts = path.split(".");
    const ends = parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
    const alone = ends.find((end) => !paths.some((other) => other !== path && `.${other}`.endsWith(`.${end}`)));
    return { path, name: alone ?? path };
  });
}

/**
 * A value of an axis in words; of a recipe's file, its name.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(["./methods/gptq-3.yaml", 4, true, undefined, [1]].map(axisText), ["gptq-3", "4", "true", "", "[1]"]);
 * ```
 */
export function axisText(value: Json | undefined): string {
  if (value === undefined) return "";
  if (typeof value !== "string") return JSON.stringify(value);
  return /\.ya?ml$/.test(value) ? value.replace(/^.*[/\\]/, "").replace(/\.ya?ml$/, "") : value;
}
