/**
 * The search for segments as the official BiLLM, ARB-LLM and STBLLM make it: scores, not weights, are cut and binarized, every group by
 * its own mean, and a threshold is a percentile of all scores of a column block, those that take no part counted as zeros.
 *
 * `segments.ts` is the other one, PBS²P's by a prototype: it cuts |w| and takes signs about zero.
 */
import type { Matrix } from "../device.ts";
import { GROUP_SHIFT, type SeenOptions } from "./quantized_layer.ts";
import { percentiles } from "./segments.ts";

/** How thresholds are searched. */
export interface ThresholdSettings {
  /** Which columns are cut: those that are not salient, or those that are (ARB-LLM's column groups). */
  readonly within: "rest" | "salient";
  /** Orders of residual binarization that a segment is judged by. */
  readonly order: 1 | 2;
  /** Two cuts, the second twice the first and at most the last candidate (STBLLM), instead of one. */
  readonly doubled: boolean;
  /** Number of percentiles 10..90 that are tried (BiLLM 81, STBLLM 160). */
  readonly candidates: number;
  /** Percentiles of the whole block, with zeros for what takes no part, or of the scores above 0 that do. */
  readonly percentiles: "block" | "positive";
  /** Group of the lowest segment. */
  readonly first: number;
}

/** Input of `thresholdSearch`. */
export interface ThresholdOptions extends ThresholdSettings {
  /** rows × cols: scores; signs are not looked at. */
  readonly values: Float32Array;
  /** cols: 1 where the column is salient. */
  readonly salient: Uint8Array;
  /** rows × cols, from `rankNM`; only weights of rank ≥ pruned take part. */
  readonly rank: Uint8Array;
  readonly pruned: number;
  readonly rows: number;
  readonly cols: number;
}

/** Operands of `searchThresholds`; see `ThresholdOptions`. */
export interface ThresholdOperands extends ThresholdSettings, SeenOptions {
  readonly values: Matrix;
  readonly salient: Matrix<"u8">;
}

/**
 * Cuts the scores of the searched columns where each row's segments, binarized with `order` residuals, have the least squared error;
 * of equal ones at the smallest threshold. A score equal to a threshold lies above it.
 *
 * Each row is sorted once: a segment is then a run of it, and Σ|v − μ| comes from prefix sums and the place of μ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const values = Float32Array.of(1, 1.1, 1, 8, 8.1, 8, 1, 90), codes = new Uint8Array(8);
 * const shape = { rows: 1, cols: 8, rank: new Uint8Array(8), pruned: 0, salient: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1) };
 * const settings = { within: "rest", order: 1, doubled: false, candidates: 9, percentiles: "block", first: 1 } as const;
 * thresholdSearch(codes, { ...shape, ...settings, values });
 * assert.deepEqual([...codes.map((c) => c >> GROUP_SHIFT)], [1, 1, 1, 2, 2, 2, 1, 0]);
 * ```
 * @param codes rows × cols, group bits only: first.. by growing score in the columns that are searched. Of the others nothing is
 * written within `salient`, and group 0 within `rest`
 */
export function thresholdSearch(codes: Uint8Array, options: ThresholdOptions): void {
  const { values, salient, rows, cols, within, first } = options, wanted = within === "salient" ? 1 : 0;
  const levels = candidateLevels(options);
  const cuts = levels.length === 0 ? [] : bestCuts(levels, thresholdGains(options, levels), options.doubled);
  const [low = Infinity, high = Infinity] = cuts;
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) {
      if (salient[c] === wanted) {
        const v = Math.abs(values[at]);
        codes[at] = first + Number(v >= low) + Number(v >= high) << GROUP_SHIFT;
      } else if (within === "rest") codes[at] = 0;
    }
  }
}

/** The thresholds that are tried, upwards; none where no score takes part. */
function candidateLevels(options: ThresholdOptions): Float32Array {
  const { values, salient, rank, pruned, cols, within, candidates, percentiles: of } = options;
  const wanted = within === "salient" ? 1 : 0, block = of === "block";
  const out = new Float32Array(values.length);
  let count = 0;
  for (let at = 0, c = 0; at < values.length; at++) {
    const part = salient[c] === wanted && rank[at] >= pruned, v = part ? Math.abs(values[at]) : 0;
    if (block || v > 0) out[count++] = v;
    if (++c === cols) c = 0;
  }
  return count === 0 ? new Float32Array(0) : percentiles(out.subarray(0, count), candidates);
}

/**
 * Σv² less the squared error that is left after cutting at each candidate (with `doubled`, and at its double), summed over rows.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const shape = { rows: 1, cols: 4, rank: new Uint8Array(4), pruned: 0, salient: new Uint8Array(4) };
 * const settings = { within: "rest", order: 1, doubled: false, candidates: 2, percentiles: "block", first: 1 } as const;
 * const gains = thresholdGains({ ...shape, ...settings, values: Float32Array.of(1, 3, 3, 3) }, Float32Array.of(0, 2));
 * assert.deepEqual([...gains], [27.25, 28]);
 * ```
 * @param levels upwards
 */
export function thresholdGains(
  options: Omit<ThresholdOptions, "candidates" | "percentiles" | "first">,
  levels: Float32Array,
): Float64Array {
  const { values, salient, rank, pruned, rows, cols, within, order, doubled } = options;
  const wanted = within === "salient" ? 1 : 0, count = levels.length;
  const gains = new Float64Array(count), doubles = levels.map((level) => 2 * level);
  const columns = Uint32Array.from(salient.keys()).filter((c) => salient[c] === wanted);
  // Bits of numbers that are not negative are in the order of the numbers, and sort faster.
  const x = new Float32Array(columns.length), bits = new Uint32Array(x.buffer), sums = new Float64Array(x.length + 1);
  const gainOf = order === 1 ? firstOrderGain : secondOrderGain;
  for (let r = 0; r < rows; r++) {
    let n = 0;
    for (let i = 0; i < columns.length; i++) {
      const at = r * cols + columns[i];
      if (rank[at] >= pruned) x[n++] = Math.abs(values[at]);
    }
    bits.subarray(0, n).sort();
    for (let i = 0; i < n; i++) sums[i + 1] = sums[i] + x[i];
    let cut = -1, next = -1, gain = 0;
    for (let k = 0, i = 0, j = 0; k < count; k++) {
      while (i < n && x[i] < levels[k]) i++;
      if (doubled) { while (j < n && x[j] < doubles[k]) j++; }
      if (i !== cut || j !== next) {
        gain = gainOf(x, sums, 0, i) +
          (doubled ? gainOf(x, sums, i, j) + gainOf(x, sums, j, n) : gainOf(x, sums, i, n));
        cut = i;
        next = j;
      }
      gains[k] += gain;
    }
  }
  return gains;
}

/** The cuts of most gain, the first of equal ones; doubles beyond the last candidate are not tried. */
function bestCuts(levels: Float32Array, gains: Float64Array, doubled: boolean): number[] {
  const last = levels[levels.length - 1];
  let best = 0;
  for (let k = 1; k < levels.length; k++) {
    if (gains[k] > gains[best] && !(doubled && Math.fround(2 * levels[k]) > last)) best = k;
  }
  return doubled ? [levels[best], Math.fround(2 * levels[best])] : [levels[best]];
}

/** Of the sorted values from..to − 1, n·(μ² + α²) with α = mean |v − μ|. */
function firstOrderGain(x: Float32Array, sums: Float64Array, from: number, to: number): number {
  const n = to - from;
  if (n === 0) return 0;
  const sum = sums[to] - sums[from], mean = sum / n, k = place(x, from, to, mean);
  const away = 2 * ((k - from) * mean - (sums[k] - sums[from]));
  return sum * mean + away * away / n;
}

/** The same when what the first order leaves is binarized again: four levels, and Σ level·(2·Σv − n·level) over them. */
function secondOrderGain(x: Float32Array, sums: Float64Array, from: number, to: number): number {
  const n = to - from;
  if (n === 0) return 0;
  const sum = sums[to] - sums[from], mean = sum / n, k = place(x, from, to, mean);
  const n0 = k - from, s0 = sums[k] - sums[from], scale = 2 * (n0 * mean - s0) / n, shift = scale * (2 * n0 - n) / n;
  const low = mean - scale + shift, high = mean + scale + shift;
  const i = place(x, from, k, low), j = place(x, k, to, high);
  const below = (i - from) * low - (sums[i] - sums[from]), above = sums[k] - sums[i] - (k - i) * low;
  const under = (j - k) * high - (sums[j] - sums[k]), over = sums[to] - sums[j] - (to - j) * high;
  const second = (below + above + under + over) / n;
  return levelGain(low - second, i - from, sums[i] - sums[from]) + levelGain(low + second, k - i, sums[k] - sums[i]) +
    levelGain(high - second, j - k, sums[j] - sums[k]) + levelGain(high + second, to - j, sums[to] - sums[j]);
}

function levelGain(level: number, n: number, sum: number): number {
  return level * (2 * sum - n * level);
}

/** First place from..to whose value is not below `bound`. */
function place(x: Float32Array, from: number, to: number, bound: number): number {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (x[middle] < bound) from = middle + 1;
    else to = middle;
  }
  return from;
}
