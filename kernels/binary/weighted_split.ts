/**
 * ARB-X's search for the cut of the weights outside salient columns (ARB-LLM, arXiv 2410.03129, official code): every candidate is
 * judged by Σ_rows r·S·rᵀ of what binarizing both sides leaves, r; what the salient columns leave takes part too.
 *
 * The products with S are the matrix room's: here are the candidates, what each of them leaves, and the choice.
 */
import type { Matrix } from "../device.ts";
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { percentiles } from "./segments.ts";

/** What candidates are made of. */
export interface SplitOptions {
  /** rows × cols: what is cut by size, and binarized when a cut is judged. */
  readonly values: Float32Array;
  /** cols: 1 where the column is salient. */
  readonly salient: Uint8Array;
  readonly rows: number;
  readonly cols: number;
}

/** Operands of `splitCandidates`. */
export interface SplitOperands {
  readonly values: Matrix;
  readonly salient: Matrix<"u8">;
}

/** Operands of `splitResiduals`. */
export interface ResidualOperands extends SplitOperands {
  /** rows × cols: what is left in salient columns; elsewhere it is not read. */
  readonly rest: Matrix;
  /** 1 × candidates */
  readonly candidates: Matrix;
  /** The first of them that is judged; as many follow as `out` has room for. */
  readonly first: number;
}

/** Operands of `chooseSplit`. */
export interface ChoiceOperands extends SplitOperands {
  /** 1 × candidates, and the error of each. */
  readonly candidates: Matrix;
  readonly errors: Matrix;
  /** Group below the cut; the one from the cut on is the next. */
  readonly firstGroup: number;
}

/**
 * Percentiles 10…90 of |value|, salient columns counted as zeros.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const out = new Float32Array(3), salient = Uint8Array.of(1, 0, 0);
 * splitCandidatesOf(out, { values: Float32Array.of(9, 10, -5), salient, rows: 1, cols: 3 });
 * assert.deepEqual([...out], [1, 5, 9]);
 * ```
 */
export function splitCandidatesOf(out: Float32Array, { values, salient, cols }: SplitOptions): void {
  out.set(percentiles(values.map((x, at) => salient[at % cols] === 0 ? Math.abs(x) : 0), out.length));
}

/**
 * What is left of the values when those below a candidate, and those that are not, are binarized by themselves in each row.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const values = Float32Array.of(9, 1, 3, 7), out = new Float32Array(4), rest = Float32Array.of(0.5, 0, 0, 0);
 * const split = { values, salient: Uint8Array.of(1, 0, 0, 0), rows: 1, cols: 4 };
 * splitResidualsOf(out, { ...split, rest, candidates: Float32Array.of(4) });
 * assert.deepEqual([...out], [0.5, 0, 0, 0]);
 * ```
 * @param out (candidates of it · rows) × cols, candidate after candidate
 */
export function splitResidualsOf(
  out: Float32Array,
  { values, salient, rows, cols, rest, candidates }: SplitOptions & {
    readonly rest: Float32Array;
    /** Those that are judged. */
    readonly candidates: Float32Array;
  },
): void {
  const columns = Int32Array.from(salient.keys()).filter((c) => salient[c] === 0), count = columns.length;
  const x = new Float64Array(count), size = new Float32Array(count), side = new Uint8Array(count);
  const n = new Float64Array(2), mean = new Float64Array(2), scale = new Float64Array(2);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < count; i++) {
      x[i] = values[r * cols + columns[i]];
      size[i] = Math.abs(x[i]);
    }
    for (let k = 0; k < candidates.length; k++) {
      const line = (k * rows + r) * cols, cut = candidates[k];
      out.set(rest.subarray(r * cols, (r + 1) * cols), line);
      n.fill(0);
      mean.fill(0);
      scale.fill(0);
      for (let i = 0; i < count; i++) {
        const s = Number(size[i] >= cut);
        side[i] = s;
        n[s]++;
        mean[s] += x[i];
      }
      mean[0] /= n[0] || 1;
      mean[1] /= n[1] || 1;
      for (let i = 0; i < count; i++) scale[side[i]] += Math.abs(x[i] - mean[side[i]]);
      scale[0] /= n[0] || 1;
      scale[1] /= n[1] || 1;
      for (let i = 0; i < count; i++) {
        const d = x[i] - mean[side[i]], level = scale[side[i]];
        out[line + columns[i]] = d >= 0 ? d - level : d + level;
      }
    }
  }
}

/**
 * Cuts by the candidate of the least error, the first of equal ones.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const codes = new Uint8Array(3), split = { salient: Uint8Array.of(1, 0, 0), rows: 1, cols: 3 };
 * const found = { candidates: Float32Array.of(1, 4), errors: Float32Array.of(5, 2) };
 * cutByBest(codes, { ...split, ...found, firstGroup: 1, values: Float32Array.of(9, 3, -4) });
 * assert.deepEqual([...codes].map((code) => code >> GROUP_SHIFT), [0, 1, 2]);
 * ```
 * @param codes rows × cols, overwritten: group 0 in salient columns, else `firstGroup` below the cut and the next from it on
 */
export function cutByBest(
  codes: Uint8Array,
  { values, salient, cols, candidates, errors, firstGroup }: SplitOptions & Pick<ChoiceOperands, "firstGroup"> & {
    readonly candidates: Float32Array;
    readonly errors: Float32Array;
  },
): void {
  let best = 0;
  for (let k = 1; k < errors.length; k++) if (errors[k] < errors[best]) best = k;
  const cut = candidates[best];
  for (let at = 0; at < codes.length; at++) {
    codes[at] = (salient[at % cols] !== 0 ? 0 : firstGroup + Number(Math.abs(values[at]) >= cut)) << GROUP_SHIFT;
  }
}
