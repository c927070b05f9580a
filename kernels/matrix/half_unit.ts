/** Units in which values are stored as float16, where they are too small or too large for it. */

/**
 * The exponent e for which values·2^−e are stored as float16 at its full precision, when the largest of them is `largest`: 0 from 2⁻¹⁴,
 * the smallest normal float16, to 2¹⁵; else that which brings the largest to 2¹⁴, so that as much as possible lies below it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { halfExponent } from "./half_unit.ts";
 *
 * assert.deepEqual([0, 0.01, 2 ** -14, 2 ** 14.9].map(halfExponent), [0, 0, 0, 0]);
 * assert.deepEqual([2 ** -15, 2 ** -40, 2 ** 15, 2 ** 80].map(halfExponent), [-29, -54, 1, 66]);
 * ```
 * @param largest magnitude; 0 for what is no normal float32
 */
export function halfExponent(largest: number): number {
  if (!(largest >= 2 ** -126 && largest < Infinity)) return 0;
  view.setFloat32(0, largest);
  const exponent = (view.getUint8(0) << 1 | view.getUint8(1) >> 7) - 127;
  return exponent >= -14 && exponent < 15 ? 0 : exponent - 14;
}

const view = new DataView(new ArrayBuffer(4));

/**
 * Rounds to float16 in units of 2^exponent.
 *
 * @returns multiples of 2^exponent that float16 holds, unless they are beyond its range
 */
export function halfIn(exponent: number, value: number): number {
  cell[0] = exponent === 0 ? value : value * 2 ** -exponent;
  return cell[0];
}

// Through an array, which V8 rounds in place; Math.f16round is a call of forty times that.
const cell = new Float16Array(1);
