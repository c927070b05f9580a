/**
 * SparseGPT's order inside one column block: each column's pruned weights are errors, fed to the columns after it before these are
 * looked at, and the mask of every M columns is chosen from what they have become by then.
 */
import type { Matrix } from "../device.ts";
import { rankNM } from "../scores/ops.ts";
import { rowUnit, storedValue } from "./stored_value.ts";

/** Where masks come from. */
export type MaskSource<V, R> =
  /** Every M columns of a row keep the M − N of largest |w_j|·columnWeight_j, as updated so far; ties keep the lower column. */
  | { readonly of: number; readonly columnWeight: V }
  /** Given: kept is what has a rank ≥ `pruned`. */
  | { readonly rank: R };

/** Input of `pruneColumnsSweep`. */
export interface PruneColumnsOptions {
  /** rows × cols */
  readonly w: Float32Array;
  /** cols × cols, row-major: U_bb, upper factor of the damped inverse; the lower triangle is not read. */
  readonly factor: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** How many of every M are pruned. */
  readonly pruned: number;
  /** columnWeight: cols; rank: rows × cols. */
  readonly masks: MaskSource<Float32Array, Uint8Array>;
  /** Whether kept weights are rounded to float16 (`storedValue`). */
  readonly half: boolean;
}

/** Operands of `pruneColumns`; see `PruneColumnsOptions`. */
export interface PruneColumnsOperands extends Pick<PruneColumnsOptions, "pruned" | "half"> {
  readonly w: Matrix;
  readonly factor: Matrix;
  readonly masks: MaskSource<Matrix, Matrix<"u8">>;
}

/**
 * For each column j in order: a kept weight stays as it is by then, rounded as it is stored, a pruned one becomes 0; err_j = (w_j −
 * q_j)/U_jj; w_k −= err_j·U_jk for k > j (SparseGPT, arXiv 2301.00774, Algorithm 1, with its adaptive mask every M columns).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { pruneColumnsSweep } from "./prune_columns.ts";
 *
 * const values = new Float32Array(4), kept = new Uint8Array(4), errors = new Float32Array(4);
 * const factor = Float32Array.of(1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1);
 * const masks = { of: 2, columnWeight: new Float32Array(4).fill(1) };
 * const w = Float32Array.of(2, 3, 2.5, 1);
 * pruneColumnsSweep(values, kept, errors, { w, factor, rows: 1, cols: 4, pruned: 1, masks, half: true });
 * // The first column's error of 2 leaves 0.5 in the third, which the fourth then outdoes.
 * assert.deepEqual([[...values], [...kept], [...errors]], [[0, 3, 0, 1], [0, 1, 0, 1], [2, 0, 0.5, 0]]);
 * ```
 * @param values rows × cols, overwritten: q
 * @param kept rows × cols, overwritten: 1 where the weight stays, else 0
 * @param errors rows × cols, overwritten: err
 * @throws {RangeError} when `of` does not divide cols
 */
export function pruneColumnsSweep(
  values: Float32Array,
  kept: Uint8Array,
  errors: Float32Array,
  { w, factor, rows, cols, pruned, masks, half }: PruneColumnsOptions,
): void {
  const x = Float64Array.from(w.subarray(0, rows * cols)), u = Float64Array.from(factor);
  const units = Int32Array.from({ length: rows }, (_, row) => half ? rowUnit(w, row * cols, cols) : 0);
  const run = "rank" in masks ? cols : masks.of;
  if (cols % run !== 0) {
    throw new RangeError(`Cannot prune columns as there must be a multiple of ${run}: current value is ${cols}`);
  }
  const scores = new Float32Array(rows * run), ranks = new Uint8Array(rows * run);
  for (let first = 0; first < cols; first += run) {
    if (!("rank" in masks)) {
      for (let row = 0, at = 0; row < rows; row++) {
        for (let j = first; j < first + run; j++, at++) {
          scores[at] = Math.fround(Math.abs(x[row * cols + j])) * masks.columnWeight[j];
        }
      }
      rankNM(ranks, scores, { rows, cols: run, of: run, type: "semi-structured" });
    }
    for (let row = 0; row < rows; row++) {
      const start = row * cols;
      for (let j = first; j < first + run; j++) {
        const at = start + j, line = j * cols;
        const stays = ("rank" in masks ? masks.rank[at] : ranks[row * run + j - first]) >= pruned;
        const value = !stays ? 0 : half ? storedValue(x[at], units[row]) : Math.fround(x[at]);
        const error = stays && !half ? 0 : (x[at] - value) / u[line + j];
        values[at] = value;
        kept[at] = stays ? 1 : 0;
        errors[at] = error;
        if (error !== 0) { for (let k = j + 1; k < cols; k++) x[start + k] -= error * u[line + k]; }
      }
    }
  }
}
