/**
 * All groups' means and scales of a row at once: the exact minimiser of the S-weighted error for fixed masks and
 * signs.
 */
import type { Matrix } from "../device.ts";
import { type BlockShape, GROUP_SHIFT, KEPT, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";

/** Input of `jointSolution`. */
export interface JointOptions {
  /** rows × cols: w·S with the whole w, pruned weights too. */
  readonly target: Float32Array;
  /** cols × cols: S, symmetric. */
  readonly gram: Float32Array;
  /** rows × cols: groups and signs of the kept weights. */
  readonly codes: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
  /** λ = ridge·trace/k + 1e-12; default 1e-6. Times 10, 100, … where AᵀSA + λI is not positive, as S is rounded. */
  readonly ridge?: number;
}

/** Operands of `jointSolution`; see `JointOptions`. */
export interface JointOperands extends BlockShape {
  readonly target: Matrix;
  readonly gram: Matrix;
  readonly codes: Matrix<"u8">;
}

/**
 * Solves θ = (AᵀSA + λI)⁻¹AᵀSw per row over the columns A = [m_s, b_s1, b_s2, m_1, b_1, …] in float64. The ridge makes
 * empty and one-signed groups harmless: an empty group's scales are 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { binarizeRows } from "./binarize.ts";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const shape = { rows: 1, cols: 2, segments: 1, salient: false }, gram = Float32Array.of(1, 0, 0, 4);
 * const w = Float32Array.of(1, 2), rank = new Uint8Array(2), codes = new Uint8Array(2).fill(1 << GROUP_SHIFT);
 * const scales = new Float32Array(2);
 * binarizeRows(codes, scales, { ...shape, w, rank, pruned: 0 });
 *
 * jointSolution(scales, { ...shape, target: Float32Array.of(1, 8), gram, codes });
 * assert.deepEqual([...scales].map((x) => x.toFixed(3)), ["1.500", "0.500"]);
 * ```
 * @param scales rows × scales of a row, overwritten
 */
export function jointSolution(scales: Float32Array, options: JointOptions): void {
  const { target, codes, rows, cols, segments, salient, ridge = 1e-6 } = options;
  const size = scalesPerBlock(options);
  const gram = Float64Array.from(options.gram);
  const ends = new Int32Array(segments + 2), next = new Int32Array(segments + 1);
  const index = new Int32Array(cols), group = new Int32Array(cols);
  const b = new Float64Array(cols), c = new Float64Array(cols);
  const a = new Float64Array(size * size), right = new Float64Array(size), pivots = new Float64Array(size);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    ends.fill(0);
    for (let at = row; at < row + cols; at++) if ((codes[at] & KEPT) !== 0) ends[(codes[at] >> GROUP_SHIFT) + 1]++;
    for (let g = 0; g <= segments; g++) {
      next[g] = ends[g];
      ends[g + 1] += ends[g];
    }
    right.fill(0);
    for (let at = row; at < row + cols; at++) {
      const code = codes[at];
      if ((code & KEPT) === 0) continue;
      const g = code >> GROUP_SHIFT, i = next[g]++, k = firstScale(g, salient), y = target[at];
      index[i] = at - row;
      group[i] = g;
      b[i] = (code & SIGN) !== 0 ? 1 : -1;
      c[i] = (code & SECOND_SIGN) !== 0 ? 1 : -1;
      right[k] += y;
      right[k + 1] += b[i] * y;
      if (g === 0) right[k + 2] += c[i] * y;
    }
    fillSystem(a, { size, salient, segments, gram, cols, index, group, b, c, ends });
    let trace = 0;
    for (let k = 0; k < size; k++) trace += a[k * size + k];
    // Only where S is singular, and the rounding of its entries more than the ridge, is the first one not enough.
    let share = ridge * trace / size;
    while (!factor(a, pivots, size, share + 1e-12) && share < trace / size) share *= 10;
    solve(a, pivots, right, size);
    for (let k = 0; k < size; k++) scales[r * size + k] = right[k];
  }
}

function firstScale(group: number, salient: boolean): number {
  return group === 0 ? 0 : (salient ? 3 : 0) + 2 * (group - 1);
}

interface System {
  readonly size: number;
  readonly salient: boolean;
  readonly segments: number;
  readonly gram: Float64Array;
  readonly cols: number;
  readonly index: Int32Array;
  readonly group: Int32Array;
  readonly b: Float64Array;
  readonly c: Float64Array;
  readonly ends: Int32Array;
}

/** Lower triangle of AᵀSA from the pairs of kept weights. */
function fillSystem(a: Float64Array, system: System): void {
  const { size, salient, segments, gram, cols, index, group, b, c, ends } = system;
  a.fill(0);
  const kept = ends[segments + 1];
  for (let i = 0; i < kept; i++) {
    const line = index[i] * cols, g = group[i], bi = b[i], ci = c[i];
    const p = firstScale(g, salient) * size, q = p + size, o = q + size;
    for (let h = salient ? 0 : 1; h <= g; h++) {
      const k = firstScale(h, salient), own = h === g;
      let dm = 0, db = 0, dc = 0;
      for (let j = ends[h], end = own ? i : ends[h + 1]; j < end; j++) {
        const s = gram[line + index[j]];
        dm += s;
        db += s * b[j];
      }
      if (h === 0) { for (let j = ends[0], end = own ? i : ends[1]; j < end; j++) dc += gram[line + index[j]] * c[j]; }
      if (!own) {
        a[p + k] += dm;
        a[p + k + 1] += db;
        a[q + k] += bi * dm;
        a[q + k + 1] += bi * db;
        if (h === 0) {
          a[p + k + 2] += dc;
          a[q + k + 2] += bi * dc;
        }
        continue;
      }
      // Within a group both orders of a pair fall on the same entries.
      const s = gram[line + index[i]];
      a[p + k] += 2 * dm + s;
      a[q + k] += bi * (dm + s) + db;
      a[q + k + 1] += 2 * bi * db + s;
      if (h === 0) {
        a[o + k] += ci * (dm + s) + dc;
        a[o + k + 1] += ci * (db + s * bi) + bi * dc;
        a[o + k + 2] += 2 * ci * dc + s;
      }
    }
  }
}

/**
 * Cholesky of a + floor·I, of which the lower triangle is read and kept: the factor goes above the diagonal, transposed, and its diagonal
 * to `pivots`. Pivots that rounding pushed below the floor are raised to it.
 *
 * @returns whether all were at least half of it; else a is not positive, and what is factored is far from it
 */
function factor(a: Float64Array, pivots: Float64Array, size: number, floor: number): boolean {
  let sound = true;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * size + j];
      if (i === j) sum += floor;
      for (let k = 0; k < j; k++) sum -= a[k * size + i] * a[k * size + j];
      if (i !== j) a[j * size + i] = sum / pivots[j];
      else {
        sound &&= sum >= 0.5 * floor;
        pivots[i] = Math.sqrt(Math.max(sum, floor));
      }
    }
  }
  return sound;
}

/** Solves with what `factor` left, in place. */
function solve(a: Float64Array, pivots: Float64Array, right: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    let sum = right[i];
    for (let k = 0; k < i; k++) sum -= a[k * size + i] * right[k];
    right[i] = sum / pivots[i];
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = right[i];
    for (let k = i + 1; k < size; k++) sum -= a[i * size + k] * right[k];
    right[i] = sum / pivots[i];
  }
}
