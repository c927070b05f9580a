/** What a kept weight becomes when it is stored: the rule that both operations of this room share. */
import { halfExponent, halfIn } from "../matrix/ops.ts";

/** The largest number of float16. */
export const HALF_MOST = 65504;

/**
 * Exponent of the unit in which the weights of one row and column block are stored as float16; see `halfExponent`.
 *
 * @param w rows × cols, of which the row begins at `start`
 */
export function rowUnit(w: Float32Array, start: number, cols: number): number {
  let largest = 0;
  for (let at = start; at < start + cols; at++) largest = Math.max(largest, Math.abs(w[at]));
  return halfExponent(largest);
}

/**
 * A weight as float16 in units of 2^unit. What has grown beyond float16 since the unit was chosen becomes its largest number: the rest
 * is an error like any other, and fed on where errors are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { storedValue } from "./stored_value.ts";
 *
 * assert.deepEqual([0.1, 1e6, -1e6].map((v) => storedValue(v, 0)), [Math.f16round(0.1), 65504, -65504]);
 * assert.equal(storedValue(3 * 2 ** -40, -54), 3 * 2 ** -40);
 * ```
 */
export function storedValue(value: number, unit: number): number {
  const half = halfIn(unit, Math.fround(value));
  const held = Number.isFinite(value) ? Math.min(HALF_MOST, Math.max(-HALF_MOST, half)) : half;
  return held * 2 ** unit;
}
