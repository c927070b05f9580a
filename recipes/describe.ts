/** Zod schemas in words: what may stand where, and which part of a schema a path leads to. */
import * as z from "zod";

/** A schema without the wrappers that only add defaults or make it optional. */
export function unwrap(schema: unknown): unknown {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap();
  }
  return inner;
}

/** The schema one key or index further in, or undefined where there is none. */
export function step(schema: unknown, key: PropertyKey): unknown {
  const here = unwrap(schema);
  if (here instanceof z.ZodObject) return here.shape[String(key)];
  if (here instanceof z.ZodArray) return here.element;
  if (here instanceof z.ZodRecord) return here.valueType;
  return undefined;
}

/** Whether a map may leave this out. */
export function mayBeLeftOut(schema: unknown): boolean {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
}

/**
 * What a schema allows, in words.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 * assert.equal(describe(z.int().min(1).max(256)), "a whole number from 1 to 256");
 * assert.equal(describe(z.union([z.enum(["ptb", "c4"]), z.strictObject({ text: z.string() })])),
 *   "ptb, c4, or a map with `text`");
 * assert.equal(describe(z.literal([1, 4, 8])), "1, 4, or 8");
 * ```
 */
export function describe(schema: unknown): string {
  const here = unwrap(schema);
  if (here instanceof z.ZodUnion) return either(here.options.map(describe));
  if (here instanceof z.ZodEnum) return here.options.join(", ");
  if (here instanceof z.ZodLiteral) return either([...here.values].map(String));
  if (here instanceof z.ZodBoolean) return "true, false";
  if (here instanceof z.ZodNumber) return describeNumber(here);
  if (here instanceof z.ZodString) return here.description === undefined ? "text" : `text: ${here.description}`;
  if (here instanceof z.ZodArray) return "a list";
  if (here instanceof z.ZodRecord) return "a map of names to values";
  if (here instanceof z.ZodObject) {
    const needed = Object.keys(here.shape).filter((key) => !mayBeLeftOut(here.shape[key]));
    return needed.length > 0 ? `a map with ${needed.map((key) => `\`${key}\``).join(" and ")}` : "a map";
  }
  return "nothing";
}

/** A value in words, short enough for a line. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "nothing (an empty value)";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return `${text.length > 50 ? `${text.slice(0, 47)}…"` : text} (${kinds[typeof value] ?? typeof value})`;
}

const kinds: Readonly<Record<string, string>> = { string: "text", number: "a number", boolean: "true or false" };

function describeNumber(schema: z.ZodNumber): string {
  const what = schema.isInt ? "a whole number" : "a number";
  const { minValue: least, maxValue: most } = schema;
  const [low, high] = [bound(least), bound(most)];
  if (low !== undefined && high !== undefined) return `${what} from ${low} to ${high}`;
  if (low !== undefined) return `${what} above ${low}`;
  return high === undefined ? what : `${what} up to ${high}`;
}

function bound(value: number | null): number | undefined {
  return value === null || !Number.isFinite(value) || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;
}

function either(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")}, or ${parts[parts.length - 1]}`;
}
