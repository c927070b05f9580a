/**
 * How many weights each transformer block keeps of every M: the arithmetic of coarse-search.
 *
 * Not the measuring of blocks (`coarse_search.ts`).
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

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
