/**
 * Scales as float16, where float16 would lose them: in a unit of the layer, and sets of them that this does not suit in units of their own.
 *
 * A layer of ordinary weights needs neither, and its file says nothing of units. A set is the scales of one row and column block.
 */
import { toFloat16 } from "../../files/float16.ts";
import { halfExponent } from "../../kernels/matrix/ops.ts";

/** Largest exponent of a unit, up or down: float32 has no more. */
export const MAX_EXPONENT = 192;

/** Scales in float16. */
export interface HalfScales {
  readonly half: Uint16Array;
  /** [sets, 2] (I32): index of a set that has a unit of its own, ascending, and the unit's exponent on top of the layer's. */
  readonly units: Int32Array;
}

/**
 * Stores scales.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fromFloat16 } from "../../files/float16.ts";
 * import { halfScales, realScales } from "./half_scales.ts";
 *
 * const scales = Float32Array.of(3 * 2 ** -40, 2 ** -40, 2 ** -70, 0);
 * const { half, units } = halfScales(scales, { together: 2, exponent: -40 });
 * assert.deepEqual([...units], [1, -44]);
 * assert.deepEqual(realScales(fromFloat16(half), units, { together: 2, exponent: -40 }), scales);
 * ```
 * @param together scales of a set
 * @param exponent of the layer's unit
 */
export function halfScales(
  scales: Float32Array,
  { together, exponent }: { readonly together: number; readonly exponent: number },
): HalfScales {
  const values = new Float32Array(scales.length), units: number[] = [], layer = 2 ** -exponent;
  for (let start = 0, set = 0; start < scales.length; start += together, set++) {
    const end = start + together;
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(scales[i] * layer));
    const own = halfExponent(largest);
    if (own !== 0) units.push(set, own);
    for (let i = start; i < end; i++) values[i] = scales[i] * layer * 2 ** -own;
  }
  return { half: toFloat16(values), units: Int32Array.from(units) };
}

/**
 * The scales that `halfScales` stored.
 *
 * @param values what is stored, as float32; changed and returned
 * @param units [sets, 2], untrusted
 * @throws {RangeError} when units are not what `halfScales` writes
 */
export function realScales(
  values: Float32Array,
  units: Int32Array,
  { together, exponent }: { readonly together: number; readonly exponent: number },
): Float32Array {
  const sets = values.length / together, exponents = new Int32Array(sets).fill(exponent);
  for (let i = 0, last = -1; i < units.length; i += 2) {
    const set = units[i], own = units[i + 1];
    if (!(set > last && set < sets && own !== 0 && Math.abs(own) <= MAX_EXPONENT)) {
      throw new RangeError(`Cannot unpack units of scales: entry ${i / 2} of ${units.length / 2} is ${set}, ${own}`);
    }
    exponents[set] += own;
    last = set;
  }
  for (let i = 0; i < values.length; i++) values[i] *= 2 ** exponents[Math.floor(i / together)];
  return values;
}
