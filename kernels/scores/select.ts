/** From scores to keep masks: the rank of each weight among those it competes with. */
import { orderStatistics } from "./order_statistics.ts";

/** How the pruned weights are placed. Only `semi-structured` promises N of every M consecutive inputs. */
export type PruningType = "semi-structured" | "unstructured" | "structured" | "none";

/** Shape and rule of `rankNM`. */
export interface RankOptions {
  readonly rows: number;
  readonly cols: number;
  /** M of N:M. */
  readonly of: number;
  readonly type: PruningType;
}

/**
 * Ranks every weight so that "keep N" means rank ≥ of − N, for every N; rank 0 is pruned first and of − 1 last. Equal
 * scores: the lower index is the more important.
 *
 * - `semi-structured`: a permutation of 0..of−1 in every run of `of` consecutive columns.
 * - `unstructured`: the weights of the block in one order, cut so that round(N/of·rows·cols) of them have rank ≥ of −
 *   N.
 * - `structured`: the same for whole columns, ordered by Σ_rows score.
 * - `none`: of − 1 everywhere, so that everything is kept for every N ≥ 1.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const rank = new Uint8Array(4);
 * rankNM(rank, Float32Array.of(2, 7, 2, 1), { rows: 1, cols: 4, of: 4, type: "semi-structured" });
 * assert.deepEqual([...rank], [2, 3, 1, 0]);
 * ```
 * @param out rows × cols, overwritten
 * @param score rows × cols, finite
 * @throws {RangeError} when `of` is not 1..256, or does not divide cols for `semi-structured`
 */
export function rankNM(out: Uint8Array, score: Float32Array, options: RankOptions): void {
  const { rows, cols, of, type } = options;
  if (!(Number.isInteger(of) && of >= 1 && of <= 256)) {
    throw new RangeError(`Cannot rank weights as "of" must be an integer of 1..256: current value is ${of}`);
  }
  switch (type) {
    case "semi-structured":
      if (cols % of !== 0) {
        throw new RangeError(`Cannot rank weights as columns must be a multiple of ${of}: current value is ${cols}`);
      }
      return rankRuns(out, score, rows * cols, of);
    case "unstructured":
      return rankAll(out.subarray(0, rows * cols), score.subarray(0, rows * cols), of);
    case "structured": {
      const totals = new Float64Array(cols);
      for (let r = 0, at = 0; r < rows; r++) {
        for (let c = 0; c < cols; c++, at++) totals[c] += score[at];
      }
      const ranks = new Uint8Array(cols);
      rankAll(ranks, Float32Array.from(totals), of);
      for (let r = 0; r < rows; r++) out.set(ranks, r * cols);
      return;
    }
    case "none":
      out.fill(of - 1, 0, rows * cols);
      return;
    default:
      throw new TypeError(`Cannot rank weights for pruning type "${type satisfies never}"`);
  }
}

function rankRuns(out: Uint8Array, score: Float32Array, count: number, of: number): void {
  const run = new Float64Array(of), losses = new Int32Array(of);
  for (let start = 0; start < count; start += of) {
    for (let j = 0; j < of; j++) run[j] = score[start + j];
    losses.fill(0);
    // Each pair has one winner, so a rank is the wins against the earlier ones and what was not lost to the later
    // ones. No branches: scores are in no order.
    for (let j = 0; j < of; j++) {
      const s = run[j];
      let wins = 0;
      for (let i = 0; i < j; i++) {
        const won = Number(s > run[i]);
        wins += won;
        losses[i] += won;
      }
      out[start + j] = wins;
    }
    for (let j = 0; j < of; j++) out[start + j] += of - 1 - j - losses[j];
  }
}

function rankAll(out: Uint8Array, score: Float32Array, of: number): void {
  const total = score.length;
  if (total === 0) return;
  // bounds[r]: weights that have a rank < r, in order from the least important.
  const bounds = Array.from({ length: of + 1 }, (_, r) => total - Math.round((of - r) * total / of));
  const positions = bounds.slice(1, of).filter((b) => b < total);
  const edges = [...new Set(orderStatistics(score, positions))];
  // Weights equal to an edge value need their place among equals; all others are placed by value alone.
  const below = edges.map(() => 0);
  const between = new Int32Array(edges.length + 1);
  for (let i = 0; i < total; i++) between[countBelow(edges, score[i])]++;
  for (let e = 0, sum = 0; e < edges.length; e++) {
    sum += between[e];
    below[e] = sum;
  }
  const equals = edges.map(() => 0);
  for (let i = 0; i < total; i++) {
    const e = countBelow(edges, score[i]);
    if (e < edges.length && edges[e] === score[i]) equals[e]++;
  }
  // `below` counted the values ≤ each edge; those equal to it stand above that place.
  for (let e = 0; e < edges.length; e++) below[e] -= equals[e];
  const placed = edges.map(() => 0);
  for (let i = total - 1; i >= 0; i--) {
    const e = countBelow(edges, score[i]);
    let position: number;
    if (e < edges.length && edges[e] === score[i]) position = below[e] + placed[e]++;
    else position = e < edges.length ? below[e] - 1 : total - 1;
    let rank = of - 1;
    while (rank > 0 && position < bounds[rank]) rank--;
    out[i] = rank;
  }
}

/** How many edges (ascending) are < x. */
function countBelow(edges: readonly number[], x: number): number {
  let e = 0;
  while (e < edges.length && edges[e] < x) e++;
  return e;
}
