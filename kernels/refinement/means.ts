/**
 * Alternating refined binarization with means (ARB-LLM, arXiv 2410.03129, Alg. 1 and its second-order form): in each round the mean, then
 * the scales, then the signs of every row and group are chosen anew, each best for the others.
 *
 * A round needs of a group only how many of its weights have each pair of signs, and their sums.
 */
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import type { Matrix } from "../device.ts";
import { firstScale, meansPerRow, type RefinedShape } from "./layout.ts";

/** Input of `refineMeanRows`. */
export interface MeansOptions extends RefinedShape {
  /** rows × cols */
  readonly w: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Rounds (official code: 15); 0 leaves BiLLM's residual binarization. */
  readonly iterations: number;
}

/** Operands of `refineMeans`; see `MeansOptions`. */
export interface MeansOperands extends RefinedShape {
  readonly w: Matrix;
  readonly iterations: number;
}

/** Weights of one row, group after group. */
interface Members {
  readonly x: Float64Array;
  /** Signs of each: 2 for the first, 1 for the second. */
  readonly signs: Uint8Array;
}

/** Mean and scales of a group. */
type Scales = [mean: number, one: number, two: number];

/**
 * Binarizes every row and group of a column block and refines means, scales and signs in rounds.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const w = Float32Array.of(0, 1, 2, 9), codes = new Uint8Array(4), scales = new Float32Array(2);
 * refineMeanRows(codes, scales, { w, rows: 1, cols: 4, doubled: 0, single: 1, iterations: 15 });
 * assert.deepEqual([[...scales], [...codes]], [[5, 4], [1, 1, 1, 3]]);
 * ```
 * @param codes rows × cols: groups on entry; KEPT and signs are written
 * @param scales rows × `meansPerRow`, overwritten: [mean, scale, second scale] of doubled groups, [mean, scale] of single ones; 0 where
 * a group is empty
 */
export function refineMeanRows(codes: Uint8Array, scales: Float32Array, options: MeansOptions): void {
  const { w, rows, cols, doubled, single, iterations } = options, groups = doubled + single;
  const stride = meansPerRow(options), ends = new Int32Array(groups + 1), next = new Int32Array(groups);
  const members: Members = { x: new Float64Array(cols), signs: new Uint8Array(cols) };
  const place = new Int32Array(cols);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    ends.fill(0);
    for (let at = row; at < row + cols; at++) ends[(codes[at] >> GROUP_SHIFT) + 1]++;
    for (let g = 0; g < groups; g++) {
      next[g] = ends[g];
      ends[g + 1] += ends[g];
    }
    for (let c = 0; c < cols; c++) {
      const i = next[codes[row + c] >> GROUP_SHIFT]++;
      place[c] = i;
      members.x[i] = w[row + c];
    }
    for (let g = 0; g < groups; g++) {
      const base = r * stride + firstScale(g, options, "means"), refine = g < doubled ? refineDoubled : refineSingle;
      const found = ends[g] < ends[g + 1] ? refine(members, ends[g], ends[g + 1], iterations) : [0, 0, 0];
      for (let i = 0; i < (g < doubled ? 3 : 2); i++) scales[base + i] = found[i];
    }
    for (let c = 0; c < cols; c++) {
      const signs = members.signs[place[c]], at = row + c;
      codes[at] = codes[at] & -(1 << GROUP_SHIFT) | KEPT | (signs & 2 ? SIGN : 0) | (signs & 1 ? SECOND_SIGN : 0);
    }
  }
}

/** Refines members start…end − 1 with one sign each. */
function refineSingle({ x, signs }: Members, start: number, end: number, iterations: number): Scales {
  const count = end - start;
  let sum = 0, positive = 0, upper = 0, scale = 0;
  for (let i = start; i < end; i++) sum += x[i];
  let mean = sum / count;
  for (let i = start; i < end; i++) {
    scale += Math.abs(x[i] - mean);
    const above = Number(x[i] >= mean);
    positive += above;
    upper += above * x[i];
  }
  scale /= count;
  for (let round = 0; round < iterations; round++) {
    const balance = (2 * positive - count) / count;
    mean = sum / count - scale * balance;
    scale = (2 * upper - sum) / count - mean * balance;
    positive = upper = 0;
    for (let i = start; i < end; i++) {
      const above = Number(x[i] >= mean);
      positive += above;
      upper += above * x[i];
    }
  }
  for (let i = start; i < end; i++) signs[i] = x[i] >= mean ? 2 : 0;
  return [mean, scale, 0];
}

/** Refines members start…end − 1 with two signs each. */
function refineDoubled({ x, signs }: Members, start: number, end: number, iterations: number): Scales {
  const count = end - start;
  let sum = 0, one = 0, two = 0, positive = 0;
  for (let i = start; i < end; i++) sum += x[i];
  const middle = sum / count;
  for (let i = start; i < end; i++) {
    one += Math.abs(x[i] - middle);
    positive += Number(x[i] >= middle);
  }
  one /= count;
  // Mean of what the first sign leaves: the deviations' sum is 0, so only the balance of signs is left.
  let mean = middle - one * (2 * positive - count) / count;
  for (let i = start; i < end; i++) {
    const first = x[i] >= middle, rest = x[i] - mean - (first ? one : -one);
    two += Math.abs(rest);
    signs[i] = (first ? 2 : 0) | Number(rest >= 0);
  }
  two /= count;
  for (let round = 0; round < iterations; round++) {
    let a = 0, b = 0, both = 0, ax = 0, bx = 0;
    for (let i = start; i < end; i++) {
      const p = (signs[i] & 2) - 1, q = 2 * (signs[i] & 1) - 1;
      a += p;
      b += q;
      both += p * q;
      ax += p * x[i];
      bx += q * x[i];
    }
    mean = (sum - one * a - two * b) / count;
    one = (ax - mean * a - two * both) / count;
    two = (bx - mean * b - one * both) / count;
    for (let i = start; i < end; i++) signs[i] = nearest(x[i] - mean, one, two);
  }
  return [mean, one, two];
}

/**
 * The signs whose level ±one ± two is nearest; of equal ones −−, then −+, then +−.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([-4, -1.5, 1.5, 4, 0].map((x) => nearest(x, 2, 1)), [0, 1, 2, 3, 1]);
 * ```
 * @returns 2 where the first sign is positive, plus 1 where the second is
 */
export function nearest(x: number, one: number, two: number): number {
  let signs = 0, least = Math.abs(x + one + two);
  const second = Math.abs(x + one - two), third = Math.abs(x - one + two), fourth = Math.abs(x - one - two);
  if (second < least) [signs, least] = [1, second];
  if (third < least) [signs, least] = [2, third];
  return fourth < least ? 3 : signs;
}
