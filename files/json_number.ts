/** Numbers that JSON cannot say, as words. */

/** Any number. */
export type JsonNumber = number | "Infinity" | "-Infinity" | "NaN";

/**
 * A number as JSON can say it: what is not finite is a word, of which `Number` makes the number again.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { toJsonNumber } from "./json_number.ts";
 *
 * assert.equal(JSON.stringify([0.5, Infinity, NaN].map(toJsonNumber)), '[0.5,"Infinity","NaN"]');
 * assert.equal(Number(toJsonNumber(-Infinity)), -Infinity);
 * ```
 */
export function toJsonNumber(value: number): JsonNumber {
  return Number.isFinite(value) ? value : `${value}` as JsonNumber;
}

/** For `JSON.stringify`: says of numbers what `toJsonNumber` does. */
export function sayNumbers(_key: string, value: unknown): unknown {
  return typeof value === "number" ? toJsonNumber(value) : value;
}

/** The number that a JSON value says; undefined where it is none. */
export function fromJsonNumber(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return value === "Infinity" || value === "-Infinity" || value === "NaN" ? Number(value) : undefined;
}
