/**
 * First signs and scales of each row and group of a column block: mean, mean deviation, and its residual for salient
 * columns; and pruning them.
 */
import type { Matrix } from "../device.ts";
import {
  type BlockShape,
  GROUP_SHIFT,
  KEPT,
  scalesPerBlock,
  SECOND_SIGN,
  type SeenOptions,
  SIGN,
} from "./quantized_layer.ts";

/** Input of `binarizeRows`. */
export interface StartOptions {
  /** rows × cols */
  readonly w: Float32Array;
  /** rows × cols, from `rankNM` */
  readonly rank: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  /** Non-salient segments, 1..4. */
  readonly segments: number;
  /** Whether group 0, the salient columns, exists. */
  readonly salient: boolean;
  /** Segments are binarized over their weights of rank ≥ pruned: 0 for all of them. */
  readonly pruned: number;
  /** The same for the salient columns; PBS²P takes all of them whatever `split_on` says. Default: `pruned`. */
  readonly salientPruned?: number;
}

/** Operands of `binarizeRows`; see `StartOptions`. */
export interface StartOperands extends BlockShape, SeenOptions {
  readonly w: Matrix;
  readonly salientPruned: number;
}

/**
 * Binarizes each row and group: μ = mean w, α = mean |w − μ|, sign(w − μ) with sign(0) = +1; salient columns twice,
 * the second time their residual, whose mean is added to the first (BiLLM's order-2 residual). An empty group has zero
 * scales.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const codes = new Uint8Array(3).fill(1 << GROUP_SHIFT), scales = new Float32Array(2), w = Float32Array.of(1, 2, 6);
 * binarizeRows(codes, scales, { w, rank: new Uint8Array(3), rows: 1, cols: 3, segments: 1, salient: false, pruned: 0 });
 * assert.deepEqual([...scales], [3, 2]);
 * ```
 * @param codes rows × cols: group bits are read (from `searchSegments`), KEPT and the signs of every weight that took
 * part are written
 * @param scales rows × scales of a row: [salient mean, α, α2,] mean, α of segment 1, …; overwritten
 */
export function binarizeRows(codes: Uint8Array, scales: Float32Array, options: StartOptions): void {
  const { w, rank, rows, cols, segments, salient, pruned } = options;
  const salientPruned = options.salientPruned ?? pruned;
  const stride = scalesPerBlock(options), first = salient ? 3 : 0;
  const count = new Float64Array(segments + 1), mean = new Float64Array(segments + 1);
  const scale = new Float64Array(segments + 1);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    count.fill(0);
    mean.fill(0);
    scale.fill(0);
    for (let at = row; at < row + cols; at++) {
      const g = codes[at] >> GROUP_SHIFT;
      const member = rank[at] >= (g === 0 ? salientPruned : pruned) ? KEPT : 0;
      codes[at] = g << GROUP_SHIFT | member;
      count[g] += member;
      mean[g] += member * w[at];
    }
    for (let g = 0; g <= segments; g++) if (count[g] > 0) mean[g] /= count[g];
    for (let at = row; at < row + cols; at++) {
      const code = codes[at], g = code >> GROUP_SHIFT, member = code & KEPT, d = w[at] - mean[g];
      codes[at] = code | member * SIGN * Number(d >= 0);
      scale[g] += member * Math.abs(d);
    }
    for (let g = 0; g <= segments; g++) if (count[g] > 0) scale[g] /= count[g];
    const base = r * stride;
    for (let g = 1; g <= segments; g++) {
      scales[base + first + 2 * g - 2] = mean[g];
      scales[base + first + 2 * g - 1] = scale[g];
    }
    if (salient) secondOrder(codes, scales, w, { row, cols, base, count: count[0], mean: mean[0], scale: scale[0] });
  }
}

/**
 * Takes the weights of rank < pruned out of the layer: their codes keep nothing but their group.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "./quantized_layer.ts";
 * const codes = new Uint8Array(2).fill(1 << GROUP_SHIFT | KEPT | SIGN);
 * pruneCodes(codes, Uint8Array.of(0, 1), 1);
 * assert.deepEqual([...codes], [1 << GROUP_SHIFT, 1 << GROUP_SHIFT | KEPT | SIGN]);
 * ```
 * @param codes rows × cols, changed
 * @param rank rows × cols
 */
export function pruneCodes(codes: Uint8Array, rank: Uint8Array, pruned: number): void {
  const groupBits = -1 << GROUP_SHIFT;
  for (let i = 0; i < codes.length; i++) codes[i] &= groupBits | -Number(rank[i] >= pruned);
}

interface FirstOrder {
  readonly row: number;
  readonly cols: number;
  readonly base: number;
  readonly count: number;
  readonly mean: number;
  readonly scale: number;
}

/** Binarizes what the first order leaves of the salient weights of one row. */
function secondOrder(codes: Uint8Array, scales: Float32Array, w: Float32Array, first: FirstOrder): void {
  const { row, cols, base, count, mean, scale } = first;
  let positive = 0;
  for (let at = row; at < row + cols; at++) {
    if (codes[at] >> GROUP_SHIFT === 0 && (codes[at] & SIGN) !== 0) positive++;
  }
  // Mean of w − μ − α·sign: Σ(w − μ) is 0, so only the balance of signs is left.
  const shift = count > 0 ? -scale * (2 * positive - count) / count : 0;
  let sum = 0;
  for (let at = row; at < row + cols; at++) {
    const code = codes[at];
    if (code >> GROUP_SHIFT !== 0 || (code & KEPT) === 0) continue;
    const d = w[at] - mean - ((code & SIGN) !== 0 ? scale : -scale) - shift;
    if (d >= 0) codes[at] = code | SECOND_SIGN;
    sum += Math.abs(d);
  }
  scales[base] = mean + shift;
  scales[base + 1] = scale;
  scales[base + 2] = count > 0 ? sum / count : 0;
}
