/**
 * How many weights each transformer block keeps of every M, or how many bits each layer has: the arithmetic of coarse-search.
 *
 * Not the measuring of blocks (`coarse_search.ts`) and layers (`sensitivity.ts`).
 */

/** N, M and how far single blocks may be from N. */
export interface Budget {
  /** N of N:M, the mean over blocks. */
  readonly keep: number;
  /** M of N:M. */
  readonly of: number;
  /** The most important block keeps N + spread, the least important N − spread. */
  readonly spread: number;
}

/**
 * N per block from redundancy (PBS²P, arXiv 2502.01705, Eq. 4 and 5): blocks are ranked by rising redundancy, k = 1 first, and
 * N_k = ⌊N_high − (N_high − N_low)·(k − 1)/(L − 1) + ½⌋, clamped to 1..M. Ties rank the lower block first.
 *
 * @example
 * ```ts
 * import { allocateByRedundancy } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(allocateByRedundancy([0.1, 0.9, 0.5], { keep: 4, of: 8, spread: 1 }), [5, 3, 4]);
 * ```
 * @param redundancy one number a block, such as the cosine similarity of its input and output; high = redundant
 * @returns N of each block, in the order of blocks
 */
export function allocateByRedundancy(redundancy: readonly number[], { keep, of, spread }: Budget): number[] {
  const order = redundancy.map((_, block) => block).sort((a, b) => redundancy[a] - redundancy[b] || a - b);
  const steps = Math.max(1, order.length - 1);
  const kept = new Array<number>(order.length);
  order.forEach((block, k) => {
    const wished = order.length === 1 ? keep : Math.floor(keep + spread - 2 * spread * k / steps + 0.5);
    kept[block] = clamp(wished, 1, of);
  });
  return kept;
}

/**
 * N per block from relative importance, as the released code of STBLLM (arXiv 2408.01803) has it: shares of outlying scores, stretched to
 * 0..2·spread, less their mean, rounded, are added to N and clamped to 1..M. What comes to one weight more is made two there.
 *
 * @example
 * ```ts
 * import { allocateByOutliers } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(allocateByOutliers([0.1, 0.9, 0.5], { keep: 4, of: 8, spread: 1 }), [3, 6, 4]);
 * ```
 * @param outliers share of a block's scores above six times their mean, one number a block
 * @returns N of each block; its mean may differ from `keep`
 */
export function allocateByOutliers(outliers: readonly number[], { keep, of, spread }: Budget): number[] {
  const least = Math.min(...outliers), most = Math.max(...outliers);
  const stretched = outliers.map((share) => most > least ? 2 * spread * (share - least) / (most - least) : 0);
  const mean = stretched.reduce((sum, value) => sum + value, 0) / stretched.length;
  return stretched.map((value) => {
    const more = Math.round(value - mean);
    return clamp(keep + (more === 1 ? 2 : more), 1, of);
  });
}

/** Bits of layers, and how far single layers may be from their mean. */
export interface BitBudget {
  /** The mean over weights. */
  readonly bits: number;
  /** The largest distance of a layer from it. */
  readonly spread: number;
}

/** Bits of a layer: no fewer, as what is stored besides codes takes its part, and no more. */
const LEAST_BITS = 0.5, MOST_BITS = 12;

/** Halvings after which doubles have no more digits. */
const HALVINGS = 200;

/**
 * Bits of each layer, as near to what is wished, up to one constant, as its bounds allow: b_l = clamp(w_l + c), with c such that the mean
 * over weights is exactly the budget.
 *
 * @example
 * ```ts
 * import { allocateBits } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * const layers = [{ weights: 300, wish: 0 }, { weights: 100, wish: 1 }];
 * assert.deepEqual(allocateBits(layers, { bits: 2, spread: 1 }).map((b) => b.toFixed(6)), ["1.750000", "2.750000"]);
 * ```
 * @param layers how many weights each has, and how many bits it wishes for more than others; −∞ counts as as few as may be
 * @returns bits a weight of each layer, from 0.5 (or the mean, if that is less) to 12
 */
export function allocateBits(
  layers: readonly { readonly weights: number; readonly wish: number }[],
  { bits, spread }: BitBudget,
): number[] {
  const least = Math.max(Math.min(LEAST_BITS, bits), bits - spread),
    most = Math.min(Math.max(MOST_BITS, bits), bits + spread);
  const given = (more: number) => layers.map(({ wish }) => clamp(wish + more, least, most));
  const total = layers.reduce((sum, { weights }) => sum + weights, 0);
  const over = (more: number) => given(more).reduce((sum, b, i) => sum + layers[i].weights * (b - bits), 0) / total;
  const wishes = layers.map(({ wish }) => wish).filter(Number.isFinite);
  if (wishes.length === 0) return layers.map(() => bits);
  let [low, high] = [least - Math.max(...wishes), most - Math.min(...wishes)];
  // Those without a finite wish never leave the least, so that the others may all be at the most and the mean still below.
  if (over(high) < 0) return layers.map(() => bits);
  for (let i = 0; i < HALVINGS && low < high; i++) {
    const middle = (low + high) / 2;
    if (over(middle) < 0) low = middle;
    else high = middle;
  }
  return given(high);
}

/**
 * How many bits blocks wish for by redundancy: `spread` more than the mean for the least redundant, `spread` fewer for the most, evenly by
 * rank in between, as `allocateByRedundancy` has it for N.
 *
 * @example
 * ```ts
 * import { wishesByRedundancy } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(wishesByRedundancy([0.1, 0.9, 0.5], 1.5), [1.5, -1.5, 0]);
 * ```
 */
export function wishesByRedundancy(redundancy: readonly number[], spread: number): number[] {
  const order = redundancy.map((_, block) => block).sort((a, b) => redundancy[a] - redundancy[b] || a - b);
  const wishes = new Array<number>(order.length).fill(0);
  if (order.length > 1) order.forEach((block, k) => wishes[block] = spread - 2 * spread * k / (order.length - 1));
  return wishes;
}

/**
 * What each layer of a block adds to the divergence that the block causes: KL_l = KL_b·d_l/Σd, d_l being what the layer alone changes of
 * the block's output.
 *
 * @example
 * ```ts
 * import { shareDivergence } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(shareDivergence(0.5, [1, 3, 0]), [0.125, 0.375, 0]);
 * ```
 * @param divergence of the model's outputs with all layers of the block quantized, in nats a token
 * @param changes d_l, ‖Δ output of the block‖² with one layer quantized
 */
export function shareDivergence(divergence: number, changes: readonly number[]): number[] {
  const all = changes.reduce((sum, change) => sum + change, 0);
  return changes.map((change) => all > 0 ? Math.max(divergence, 0) * change / all : 0);
}

/**
 * How many bits a layer wishes for: ½·log₂(KL/weights), the least Σ KL_l·4^−b_l that a mean over weights allows (reverse waterfilling, as
 * in WaterSIC, arXiv 2603.04956, with layers for columns).
 *
 * @example
 * ```ts
 * import { wishOf } from "./allocation.ts";
 * import assert from "node:assert/strict";
 * assert.equal(wishOf(0.04, 100) - wishOf(0.01, 100), 1);
 * assert.equal(wishOf(0, 100), -Infinity);
 * ```
 */
export function wishOf(divergence: number, weights: number): number {
  return 0.5 * Math.log2(divergence / weights);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
