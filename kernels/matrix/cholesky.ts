/**
 * The Cholesky factor from the far end: H = R·Rᵀ with R upper. Then H⁻¹ = UᵀU with U = R⁻¹, which is the factor GPTQ
 * needs, without inverting H (a Cholesky decomposition of H reversed in rows and columns).
 *
 * Not for large matrices (`factor.ts` goes block by block).
 */

/**
 * Factors in place, in float64.
 *
 * @param h size × size at `offset` with `stride`, symmetric; only the upper triangle is read; R on return, zero below
 * the diagonal
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { choleskyUpper } from "./cholesky.ts";
 *
 * const h = Float32Array.of(5, 2, 2, 4);
 * assert.equal(choleskyUpper(h, 2), -1);
 * assert.deepEqual([...h], [2, 1, 0, 2]);
 * ```
 * @returns index of the first pivot, from the last row upwards, that is not positive, or −1; R then holds 1 there
 */
export function choleskyUpper(
  h: Float32Array,
  size: number,
  { offset = 0, stride = size }: { readonly offset?: number; readonly stride?: number } = {},
): number {
  const r = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) r[i * size + j] = h[offset + i * stride + j];
  }
  let bad = -1;
  for (let j = size - 1; j >= 0; j--) {
    const line = j * size;
    let pivot = r[line + j];
    for (let k = j + 1; k < size; k++) pivot -= r[line + k] * r[line + k];
    if (!(pivot > 0 && pivot < Infinity)) {
      if (bad < 0) bad = j;
      pivot = 1;
    }
    const diagonal = Math.sqrt(pivot);
    r[line + j] = diagonal;
    for (let i = 0; i < j; i++) {
      const other = i * size;
      let sum = r[other + j];
      for (let k = j + 1; k < size; k++) sum -= r[other + k] * r[line + k];
      r[other + j] = sum / diagonal;
    }
  }
  for (let i = 0; i < size; i++) {
    const start = offset + i * stride;
    for (let j = 0; j < size; j++) h[start + j] = r[i * size + j];
  }
  return bad;
}
