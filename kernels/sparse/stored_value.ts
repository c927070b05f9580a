/** What a kept weight becomes when it is stored: the rule that both operations of this room share. */
import { halfExponent } from "../matrix/ops.ts";

/** The largest number of float16. */
export const HALF_MOST = 65504;

/**
 * The unit, a power of two, in which the weights of one row and column block are stored as float16; see `halfExponent`.
 *
 * @param w rows × cols, of which the row begins at `start`
 */
export function rowUnit(w: Float32Array, start: number, cols: number): number {
  let largest = 0;
  for (let at = start; at < start + cols; at++) largest = Math.max(largest, Math.abs(w[at]));
  return 2 ** halfExponent(largest);
}

/**
 * A weight as float16 in units of `unit`. What has grown beyond float16 since the unit was chosen becomes its largest number: the rest is an
 * error like any other, and fed on where errors are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { storedValue } from "./stored_value.ts";
 *
 * assert.deepEqual([0.1, 1e6, -1e6].map((v) => storedValue(v, 1)), [Math.f16round(0.1), 65504, -65504]);
 * assert.equal(storedValue(3 * 2 ** -40, 2 ** -54), 3 * 2 ** -40);
 * ```
 * @param value what is not finite stays so
 */
export function storedValue(value: number, unit: number): number {
  cell[0] = Math.fround(value) / unit;
  const half = cell[0];
  if (Math.abs(half) <= HALF_MOST || !Number.isFinite(value)) return half * unit;
  return (value < 0 ? -HALF_MOST : HALF_MOST) * unit;
}

// Through an array, which V8 rounds in place; Math.f16round is a call of a hundred times that.
const cell = new Float16Array(1);
