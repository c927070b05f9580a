/** Signs and one scale for each row of a column block, without a mean: codes that types of others hold as they are (±d, or 0). */
import type { Matrix } from "../device.ts";
import { GROUP_SHIFT, KEPT, type SeenOptions, SIGN } from "./quantized_layer.ts";

/** Operands of `startPlain`; see `plainRows`. */
export interface PlainOperands extends SeenOptions {
  readonly w: Matrix;
}

/** Input of `plainRows`. */
export interface PlainOptions {
  /** rows × cols */
  readonly w: Float32Array;
  /** rows × cols, from `rankNM` */
  readonly rank: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  /** Weights of less rank are 0. */
  readonly pruned: number;
}

/** Operands of `rescale`; see `rescaleRows`. All are rows × cols. */
export interface RescaleOperands {
  readonly decoded: Matrix;
  readonly target: Matrix;
  readonly product: Matrix;
}

/** Input of `rescaleRows`; all arrays are rows × cols. */
export interface RescaleOptions {
  /** Q: what the codes decode to with the scales that are there. */
  readonly decoded: Float32Array;
  /** W·S with the whole W, pruned weights too. */
  readonly target: Float32Array;
  /** Q·S. */
  readonly product: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Binarizes each row: sign(w) with sign(0) = +1, and α = mean |w| over those that are kept, the best without regard to inputs.
 *
 * Source: XNOR-Net, arXiv 1603.05279, Eq. 6.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const codes = new Uint8Array(3), scales = new Float32Array(2), w = Float32Array.of(1, -3, 9);
 * plainRows(codes, scales, { w, rank: Uint8Array.of(1, 1, 0), rows: 1, cols: 3, pruned: 1 });
 * assert.deepEqual([...scales], [0, 2]);
 * ```
 * @param codes rows × cols, overwritten: all of segment 1
 * @param scales rows × 2: 0, the mean, and α; overwritten
 */
export function plainRows(
  codes: Uint8Array,
  scales: Float32Array,
  { w, rank, rows, cols, pruned }: PlainOptions,
): void {
  for (let r = 0; r < rows; r++) {
    let sum = 0, count = 0;
    for (let at = r * cols; at < (r + 1) * cols; at++) {
      const kept = rank[at] >= pruned;
      codes[at] = 1 << GROUP_SHIFT | (kept ? KEPT | (w[at] >= 0 ? SIGN : 0) : 0);
      if (!kept) continue;
      sum += Math.abs(w[at]);
      count++;
    }
    scales[2 * r] = 0;
    scales[2 * r + 1] = count === 0 ? 0 : sum / count;
  }
}

/**
 * Multiplies each row's α by what brings it to the least S-weighted error for these signs: (q·S·w) / (q·S·q).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * // S = I, w = [3, -1], signs + and −: the best α is 2.
 * const scales = Float32Array.of(0, 4), decoded = Float32Array.of(4, -4);
 * rescaleRows(scales, { decoded, target: Float32Array.of(3, -1), product: decoded, rows: 1, cols: 2 });
 * assert.deepEqual([...scales], [0, 2]);
 * ```
 * @param scales rows × 2: mean, which is 0, and α, which is changed; 0 stays 0, and so does what inputs that are always 0 see
 */
export function rescaleRows(scales: Float32Array, { decoded, target, product, rows, cols }: RescaleOptions): void {
  for (let r = 0; r < rows; r++) {
    let wanted = 0, own = 0;
    for (let at = r * cols; at < (r + 1) * cols; at++) {
      wanted += decoded[at] * target[at];
      own += decoded[at] * product[at];
    }
    if (own > 0) scales[2 * r + 1] *= wanted / own;
  }
}
