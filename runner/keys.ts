/**
 * Content keys: what identifies a step's results. Two steps with one key make the same bytes, whoever runs them and when.
 *
 * Not what is stored under a key (`artifact.ts`) nor why two keys differ (`explain.ts`).
 */
import { createHash } from "node:crypto";
import type { Recipe } from "../recipes/language.ts";
import type { Json, Step } from "./stage.ts";

/** Everything that enters a step's key, and nothing else. */
export interface KeyComponents {
  readonly stage: string;
  /** Hash of the code that the step reaches. */
  readonly code: string;
  /** Recipe values by path. */
  readonly reads: Readonly<Record<string, Json>>;
  readonly facts: Readonly<Record<string, Json>>;
  /** Output keys by the step's own names for its inputs. */
  readonly inputs: Readonly<Record<string, string>>;
}

/**
 * JSON with sorted keys and no spaces, so that equal values have equal texts.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(canonicalJson({ b: [1, "x"], a: null }), '{"a":null,"b":[1,"x"]}');
 * ```
 * @param value absent (undefined) members of objects are left out
 * @param at where the value stands, for the error
 * @throws {TypeError} for NaN, infinities and whatever JSON cannot say
 */
export function canonicalJson(value: Json, at = ""): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  const cannot = (why: string) => new TypeError(`Cannot make a content key${at === "" ? "" : ` of ${at}`}: ${why}`);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw cannot(`numbers must be finite: current value is ${value}`);
    return JSON.stringify(value);
  }
  const below = (name: string | number) => at === "" ? `${name}` : `${at}.${name}`;
  if (Array.isArray(value)) return `[${value.map((item: Json, i) => canonicalJson(item, below(i))).join(",")}]`;
  if (typeof value !== "object" || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    throw cannot(`values must be plain JSON: current value is ${typeof value} ${String(value)}`);
  }
  const members = Object.entries(value as Readonly<Record<string, Json>>)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => a < b ? -1 : 1);
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item, below(name))}`).join(",")}}`;
}

/**
 * The first number in a value that is not finite, and where: such a value cannot be kept.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(findNotFinite({ errors: { q_proj: [0, NaN] } }), { path: "errors.q_proj.1", value: NaN });
 * assert.equal(findNotFinite({ errors: [0] }), undefined);
 * ```
 */
export function findNotFinite(value: Json, path = ""): { readonly path: string; readonly value: number } | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : { path, value };
  if (typeof value !== "object" || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const found = findNotFinite(member, path === "" ? name : `${path}.${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Hex sha256 of a text in UTF-8. */
export function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/**
 * One value of a recipe.
 *
 * @param path names joined by dots, list items by index: `stages.evaluate.perplexity.0`
 * @returns the value; undefined when the last name is an optional key that the recipe leaves out
 * @throws {RangeError} when the path leads through something that does not exist
 */
export function readPath(recipe: Recipe, path: string): Json | undefined {
  const names = path.split(".");
  let value: unknown = recipe;
  for (const [depth, name] of names.entries()) {
    if (typeof value !== "object" || value === null) {
      const parent = names.slice(0, depth).join(".");
      throw new RangeError(`Cannot read "${path}" of the recipe: "${parent}" is not a map or a list`);
    }
    value = Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
  }
  return value as Json | undefined;
}

/**
 * What enters the key of a step.
 *
 * @param inputs output keys of the step's inputs, by the step's names for them
 */
export function componentsOf(step: Step, recipe: Recipe, inputs: Readonly<Record<string, string>>): KeyComponents {
  const reads = Object.fromEntries(step.reads.map((path) => [path, readPath(recipe, path) ?? null]));
  return { stage: step.stage, code: step.code, reads, facts: step.facts, inputs };
}

/** The key of a step: hex sha256 of its components. */
export function stepKey({ stage, code, reads, facts, inputs }: KeyComponents): string {
  return sha256(canonicalJson({ stage, code, reads, facts, inputs }));
}

/** The key of one output of a step. */
export function outputKey(step: string, output: string): string {
  return sha256(canonicalJson({ output, step }));
}
