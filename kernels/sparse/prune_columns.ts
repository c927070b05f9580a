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

/** Rows whose weights stay in the fastest cache while their masks are chosen. */
const TILE = 16;

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
  const run = "rank" in masks ? cols : masks.of;
  if (cols % run !== 0) {
    throw new RangeError(`Cannot prune columns as there must be a multiple of ${run}: current value is ${cols}`);
  }
  const u = Float64Array.from(factor), ranks = new Uint8Array(TILE * run), scores = new Float32Array(TILE * run);
  for (let row = 0; row < rows; row += TILE) {
    const start = row * cols, end = Math.min(row + TILE, rows) * cols, some = (end - start) / cols;
    const weights = w.subarray(start, end), tile = { u, rows: some, cols, pruned, half };
    const x = Float64Array.from(weights), out = { values, kept, errors, start };
    const units = Float64Array.from({ length: some }, (_, r) => half ? rowUnit(weights, r * cols, cols) : 1);
    if ("rank" in masks) {
      sweep(out, x, { ...tile, units, first: 0, run: cols, ranks: masks.rank.subarray(start, end) });
      continue;
    }
    for (let first = 0; first < cols; first += run) {
      for (let r = 0, at = 0; r < some; r++) {
        for (let j = first; j < first + run; j++, at++) {
          scores[at] = Math.fround(Math.abs(x[r * cols + j])) * masks.columnWeight[j];
        }
      }
      rankNM(ranks, scores, { rows: some, cols: run, of: run, type: "semi-structured" });
      sweep(out, x, { ...tile, units, first, run, ranks });
    }
  }
}

/** What a sweep writes, from `start` on. */
interface Swept {
  readonly values: Float32Array;
  readonly kept: Uint8Array;
  readonly errors: Float32Array;
  readonly start: number;
}

/** Prunes `run` columns from `first` on of some rows, whose ranks (rows × run) are known; x (rows × cols) is what they are by now. */
function sweep(
  { values, kept, errors, start }: Swept,
  x: Float64Array,
  { u, rows, cols, pruned, half, units, first, run, ranks }: {
    readonly u: Float64Array;
    readonly rows: number;
    readonly cols: number;
    readonly pruned: number;
    readonly half: boolean;
    readonly units: Float64Array;
    readonly first: number;
    readonly run: number;
    readonly ranks: Uint8Array;
  },
): void {
  for (let row = 0; row < rows; row++) {
    const line = row * cols;
    for (let j = first; j < first + run; j++) {
      const at = line + j, across = j * cols, stays = ranks[row * run + j - first] >= pruned;
      const value = !stays ? 0 : half ? storedValue(x[at], units[row]) : x[at];
      const error = stays && !half ? 0 : (x[at] - value) / u[across + j];
      values[start + at] = value;
      kept[start + at] = stays ? 1 : 0;
      errors[start + at] = error;
      if (error !== 0) { for (let k = j + 1; k < cols; k++) x[line + k] -= error * u[across + k]; }
    }
  }
}
