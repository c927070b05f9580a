/**
 * Units of a layer: powers of two that bring its weights and its Hessian to ordinary size while they are worked on.
 *
 * Kernels compute in float32, store scales in float16, and have constants of their own (what keeps a division from zero, what a dead
 * input counts as). A power of two changes no bit of a result unless one of these matters; in ordinary units none does.
 */

/** Largest exponent, up or down, of the root mean square of weights that are worked on as they are. */
const ORDINARY = 12;

/** Exponent that the root mean square of other weights is brought to, that of most trained layers. */
const TYPICAL = -6;

/** Exponents of the mean of diag(H) between which a Hessian is worked on as it is: the solvers' constants are 1e-10 and less. */
const LEAST_MEAN = -6, MOST_MEAN = 30;

/** Exponent that the mean of other Hessians is brought to. */
const TYPICAL_MEAN = 3;

/**
 * ⌊log₂ x⌋, exactly.
 *
 * @param x positive and finite
 */
export function exponentOf(x: number): number {
  const near = Math.floor(Math.log2(x));
  if (x >= 2 ** (near + 1)) return near + 1;
  return x < 2 ** near ? near - 1 : near;
}

/**
 * The exponent e for which weights·2^−e are of ordinary size: 0 for nearly every layer there is.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { weightExponent } from "./units.ts";
 *
 * assert.deepEqual([0, 0.02, 3, 2 ** -40, 1e19].map((w) => weightExponent(Float32Array.of(w, -w))), [0, 0, 0, -34, 69]);
 * ```
 * @returns NaN when a weight is not finite
 */
export function weightExponent(weight: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < weight.length; i++) sum += weight[i] * weight[i];
  if (!Number.isFinite(sum)) return NaN;
  if (sum === 0) return 0;
  const exponent = exponentOf(Math.sqrt(sum / weight.length));
  return Math.abs(exponent) <= ORDINARY ? 0 : exponent - TYPICAL;
}

/**
 * The exponent f for which H·2^−f is of ordinary size, by the mean of its diagonal, dead inputs left out: 0 for nearly every layer.
 *
 * Where there are dead inputs that mean is always brought to 8 to 16: damping counts a dead input as 1, which must be as much of every
 * layer's mean, whatever the layer's unit.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { hessianExponent } from "./units.ts";
 *
 * assert.deepEqual([0.1, 2 ** 20, 2 ** -20].map((h) => hessianExponent(Float32Array.of(h), 1)), [0, 0, -23]);
 * assert.deepEqual([0.5, 40].map((h) => hessianExponent(Float32Array.of(h, 0, 0), 2)), [-4, 2]);
 * ```
 * @param upper packed upper triangle, of `size` rows
 * @param factor of the whole triangle
 * @returns NaN when an entry of the diagonal is not finite
 */
export function hessianExponent(upper: Float32Array, size: number, factor = 1): number {
  let sum = 0, live = 0;
  for (let j = 0, at = 0; j < size; at += size - j, j++) {
    sum += upper[at];
    live += Number(upper[at] !== 0);
  }
  if (!Number.isFinite(sum)) return NaN;
  if (!(sum > 0)) return 0;
  const exponent = exponentOf(factor * sum / live);
  return live === size && exponent >= LEAST_MEAN && exponent <= MOST_MEAN ? 0 : exponent - TYPICAL_MEAN;
}

/** Multiplies by 2^exponent, in place; what float32 cannot hold becomes 0 or infinite. */
export function scaleByPower(x: Float32Array, exponent: number): Float32Array {
  if (exponent === 0) return x;
  // In two steps, as 2^exponent itself may be beyond the range of doubles' normal numbers.
  const half = 2 ** Math.trunc(exponent / 2), rest = 2 ** (exponent - Math.trunc(exponent / 2));
  for (let i = 0; i < x.length; i++) x[i] = x[i] * half * rest;
  return x;
}
