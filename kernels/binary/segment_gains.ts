/** How much of the squared error each possible segment takes away: the sums behind `searchSegments`. */
import type { Matrix } from "../device.ts";
import type { SeenOptions } from "./quantized_layer.ts";

/** Input of `segmentSearch`. */
export interface SegmentOptions {
  /** rows × cols: |w| is cut. */
  readonly w: Float32Array;
  /** rows × cols: what is binarized when a cut is judged; default w. */
  readonly values?: Float32Array;
  /** cols: factor of each column's squared error; default 1. */
  readonly columnWeight?: Float32Array;
  /** cols: 1 where the column is salient and takes no part. */
  readonly salient: Uint8Array;
  /** rows × cols, from `rankNM`; only weights of rank ≥ pruned are seen. */
  readonly rank: Uint8Array;
  readonly pruned: number;
  readonly rows: number;
  readonly cols: number;
  readonly splitPoints: 0 | 1 | 2 | 3;
  /** `free`: every pair of candidates; `doubled`: p2 = 2·p1 (STBLLM; two split points only). */
  readonly search: "free" | "doubled";
  /** Number of candidate cuts, percentiles 10..90 of the seen |w| (prototype: 40). */
  readonly candidates: number;
  /** Of two or three cuts each tries every second candidate only, in turn; by default all. */
  readonly coarse?: boolean;
}

/** Operands of `searchSegments`; see `SegmentOptions`. */
export interface SegmentOperands extends SeenOptions {
  readonly w: Matrix;
  readonly values?: Matrix;
  readonly columnWeight?: Matrix;
  readonly salient: Matrix<"u8">;
  readonly splitPoints: 0 | 1 | 2 | 3;
  readonly search: "free" | "doubled";
  readonly candidates: number;
  readonly coarse?: boolean;
}

/** What `segmentGains` reads. */
export type GainOptions = Pick<
  SegmentOptions,
  "w" | "values" | "columnWeight" | "salient" | "rank" | "pruned" | "rows" | "cols"
>;

/** Gain of every run of bins, summed over the rows. */
export interface Gains {
  /** (bins + 1)²: gain[i·(bins + 1) + j] of the segment made of bins i..j−1 */
  readonly gain: Float64Array;
  readonly bins: number;
}

/** Prefix sums over the bins of one row, each bins + 1 long. */
interface Prefixes {
  readonly count: Int32Array;
  readonly sum: Float64Array;
  readonly absolute: Float64Array;
  readonly signs: Float64Array;
}

/**
 * Sums over rows Σ c·v² − Σ c·(v − μ − α·sign v)² of every run of the bins that `levels` make of |w|, with μ = mean v,
 * α = (Σ|v| − μ·Σ sign v)/n and c the column's weight. Without weights that is n·(μ² + α²).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const shape = { salient: new Uint8Array(2), rank: new Uint8Array(2), pruned: 0, rows: 1, cols: 2 };
 * const { gain, bins } = segmentGains({ ...shape, w: Float32Array.of(1, -3) }, Float32Array.of(2));
 * assert.deepEqual([bins, gain[1], gain[1 * 3 + 2], gain[2]], [2, 1, 9, 10]);
 * ```
 * @param levels ascending bounds of the bins; a |w| equal to a bound lies above it
 */
export function segmentGains(options: GainOptions, levels: Float32Array): Gains {
  const { columnWeight, rows, cols } = options;
  const bins = levels.length + 1, width = bins + 1;
  const gain = new Float64Array(width * width);
  const plain = makePrefixes(width), weighted = makePrefixes(width), weight = new Float64Array(width);
  const reciprocal = Float64Array.from({ length: cols + 1 }, (_, count) => count === 0 ? 0 : 1 / count);
  const binner = { edges: Float32Array.of(...levels, Infinity), firstBin: binTable(levels), bin: new Int16Array(cols) };
  for (let r = 0; r < rows; r++) {
    findBins(binner, options, r);
    fillPrefixes(plain, binner.bin, options, r);
    if (columnWeight === undefined) addGains(gain, plain, reciprocal);
    else {
      fillWeighted(weighted, weight, binner.bin, options, columnWeight, r);
      addWeightedGains(gain, plain, weighted, weight, reciprocal);
    }
  }
  return { gain, bins };
}

function makePrefixes(width: number): Prefixes {
  return {
    count: new Int32Array(width),
    sum: new Float64Array(width),
    absolute: new Float64Array(width),
    signs: new Float64Array(width),
  };
}

interface Binner {
  readonly edges: Float32Array;
  /** By the leading bits of a magnitude: the bin of the smallest value that has them. */
  readonly firstBin: Uint16Array;
  /** cols: bin + 1 of each weight of the row, 0 for those that take no part. */
  readonly bin: Int16Array;
}

const TABLE_SHIFT = 19;
const magnitude = new Float32Array(1), magnitudeBits = new Uint32Array(magnitude.buffer);

function binTable(levels: Float32Array): Uint16Array {
  const table = new Uint16Array(1 << (31 - TABLE_SHIFT));
  for (let t = 0, bin = 0; t < table.length; t++) {
    magnitudeBits[0] = t << TABLE_SHIFT;
    while (bin < levels.length && levels[bin] <= magnitude[0]) bin++;
    table[t] = bin;
  }
  return table;
}

function findBins({ edges, firstBin, bin }: Binner, { w, salient, rank, pruned, cols }: GainOptions, r: number): void {
  for (let c = 0, at = r * cols; c < cols; c++, at++) {
    bin[c] = 0;
    if (salient[c] !== 0 || rank[at] < pruned) continue;
    magnitude[0] = Math.abs(w[at]);
    const a = magnitude[0];
    let b = firstBin[magnitudeBits[0] >>> TABLE_SHIFT];
    while (edges[b] <= a) b++;
    bin[c] = b + 1;
  }
}

function fillPrefixes(prefixes: Prefixes, bin: Int16Array, { w, values = w, cols }: GainOptions, r: number): void {
  const { count, sum, absolute, signs } = prefixes;
  count.fill(0);
  sum.fill(0);
  absolute.fill(0);
  signs.fill(0);
  for (let c = 0, at = r * cols; c < cols; c++, at++) {
    const b = bin[c], v = values[at];
    if (b === 0) continue;
    count[b]++;
    sum[b] += v;
    absolute[b] += Math.abs(v);
    signs[b] += v >= 0 ? 1 : -1;
  }
  for (let i = 1; i < count.length; i++) {
    count[i] += count[i - 1];
    sum[i] += sum[i - 1];
    absolute[i] += absolute[i - 1];
    signs[i] += signs[i - 1];
  }
}

function fillWeighted(
  prefixes: Prefixes,
  weight: Float64Array,
  bin: Int16Array,
  { w, values = w, cols }: GainOptions,
  columnWeight: Float32Array,
  r: number,
): void {
  const { sum, absolute, signs } = prefixes;
  weight.fill(0);
  sum.fill(0);
  absolute.fill(0);
  signs.fill(0);
  for (let c = 0, at = r * cols; c < cols; c++, at++) {
    const b = bin[c], v = values[at], u = columnWeight[c];
    if (b === 0) continue;
    weight[b] += u;
    sum[b] += u * v;
    absolute[b] += u * Math.abs(v);
    signs[b] += v >= 0 ? u : -u;
  }
  for (let i = 1; i < weight.length; i++) {
    weight[i] += weight[i - 1];
    sum[i] += sum[i - 1];
    absolute[i] += absolute[i - 1];
    signs[i] += signs[i - 1];
  }
}

function addGains(gain: Float64Array, prefixes: Prefixes, reciprocal: Float64Array): void {
  const { count, sum, absolute, signs } = prefixes;
  const width = count.length;
  for (let i = 0; i < width - 1; i++) {
    const line = i * width, n = count[i], s = sum[i], a = absolute[i], g = signs[i];
    for (let j = i + 1; j < width; j++) {
      const by = reciprocal[count[j] - n], total = sum[j] - s;
      const scale = absolute[j] - a - total * by * (signs[j] - g);
      gain[line + j] += (total * total + scale * scale) * by;
    }
  }
}

function addWeightedGains(
  gain: Float64Array,
  plain: Prefixes,
  weighted: Prefixes,
  weight: Float64Array,
  reciprocal: Float64Array,
): void {
  const width = weight.length;
  for (let i = 0; i < width - 1; i++) {
    for (let j = i + 1; j < width; j++) {
      const by = reciprocal[plain.count[j] - plain.count[i]];
      const mean = (plain.sum[j] - plain.sum[i]) * by;
      const scale = (plain.absolute[j] - plain.absolute[i] - mean * (plain.signs[j] - plain.signs[i])) * by;
      const sum = weighted.sum[j] - weighted.sum[i], absolute = weighted.absolute[j] - weighted.absolute[i];
      const signs = weighted.signs[j] - weighted.signs[i];
      gain[i * width + j] += 2 * (mean * sum + scale * (absolute - mean * signs)) -
        (mean * mean + scale * scale) * (weight[j] - weight[i]);
    }
  }
}
