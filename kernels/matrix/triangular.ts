/** Inverses of triangular matrices. */

/** Where a matrix lies. */
export interface Place {
  readonly offset?: number;
  readonly stride?: number;
}

/**
 * Inverts an upper triangular matrix in float64.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { invertUpper } from "./triangular.ts";
 *
 * const u = new Float32Array(4);
 * invertUpper(u, Float32Array.of(2, 1, 0, 2), { size: 2 });
 * assert.deepEqual([...u], [0.5, -0.25, 0, 0.5]);
 * ```
 * @param out size × size at `to`, overwritten; zero below the diagonal
 * @param r size × size at `from`; what is below the diagonal is not read; its diagonal is not zero
 */
export function invertUpper(
  out: Float32Array,
  r: Float32Array,
  { size, to = {}, from = {} }: { readonly size: number; readonly to?: Place; readonly from?: Place },
): void {
  const { offset = 0, stride = size } = from;
  const u = new Float64Array(size * size);
  for (let i = size - 1; i >= 0; i--) {
    const line = i * size, source = offset + i * stride;
    u[line + i] = 1;
    for (let k = i + 1; k < size; k++) {
      const factor = r[source + k], other = k * size;
      if (factor !== 0) { for (let j = k; j < size; j++) u[line + j] -= factor * u[other + j]; }
    }
    const diagonal = r[source + i];
    for (let j = i; j < size; j++) u[line + j] /= diagonal;
  }
  const start = to.offset ?? 0, step = to.stride ?? size;
  for (let i = 0; i < size; i++) out.set(u.subarray(i * size, (i + 1) * size), start + i * step);
}
