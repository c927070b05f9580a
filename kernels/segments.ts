/**
 * The search for the segments of |w|: where to cut the non-salient weights of a column block, so that each row binarizes well
 * within each segment.
 */

import { GROUP_SHIFT } from "./quantized_layer.ts";
import { orderStatistics } from "./order_statistics.ts";

/** Input of `searchSegments`. */
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
}

/** Gain of every pair of cuts, over all rows. */
interface Gains {
  /** (bins + 1)²: gain[i·(bins + 1) + j] of the segment of bins i..j−1 */
  readonly gain: Float64Array;
  readonly bins: number;
}

/**
 * Cuts the non-salient weights into splitPoints + 1 segments and writes every weight's group into its code: 0 where the column is
 * salient, else 1.. by growing |w|. Weights that are not seen get the segment in which their |w| falls.
 *
 * The error of a segment is the prototype's: Σv² − n·μ² − n·α² per row with μ = mean v and α = (Σ|v| − μ·Σsign v)/n, that is the
 * order-1 error with signs about zero instead of about μ.
 *
 * @param codes rows × cols, overwritten: group bits only
 */
export function searchSegments(codes: Uint8Array, options: SegmentOptions): void {
  const { w, salient, rows, cols, splitPoints } = options;
  const seen = splitPoints === 0 ? new Float32Array(0) : seenMagnitudes(options);
  const cuts = seen.length === 0 ? [] : chooseCuts(options, seen);
  const levels = Float32Array.from(cuts);
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) {
      let group = 0;
      if (salient[c] === 0) {
        group = 1;
        const a = Math.abs(w[at]);
        for (let k = 0; k < levels.length; k++) if (a >= levels[k]) group++;
      }
      codes[at] = group << GROUP_SHIFT;
    }
  }
}

/** |w| of the seen, non-salient weights. */
function seenMagnitudes({ w, salient, rank, pruned, rows, cols }: SegmentOptions): Float32Array {
  const out = new Float32Array(rows * cols);
  let count = 0;
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) {
      if (salient[c] === 0 && rank[at] >= pruned) out[count++] = Math.abs(w[at]);
    }
  }
  return out.subarray(0, count);
}

/**
 * Percentiles 10..90 in equal steps, with linear interpolation between neighbours in order (torch.quantile).
 *
 * @param x finite values, at least one
 * @returns count values, ascending
 */
export function percentiles(x: Float32Array, count: number): Float32Array {
  const last = x.length - 1;
  const at = Float64Array.from({ length: count }, (_, i) => last * (count === 1 ? 0.5 : 0.1 + 0.8 * i / (count - 1)));
  const positions = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    positions[2 * i] = Math.floor(at[i]);
    positions[2 * i + 1] = Math.min(Math.floor(at[i]) + 1, last);
  }
  const sortedPositions = positions.slice().sort();
  const values = orderStatistics(x, sortedPositions);
  const lookUp = new Map(Array.from(sortedPositions, (p, i) => [p, values[i]]));
  return Float32Array.from(at, (p, i) => {
    const low = lookUp.get(positions[2 * i]) ?? 0, high = lookUp.get(positions[2 * i + 1]) ?? 0;
    return low + (high - low) * (p - Math.floor(p));
  });
}

function chooseCuts(options: SegmentOptions, seen: Float32Array): number[] {
  const { splitPoints, search, candidates } = options;
  const levels = percentiles(seen, candidates);
  if (splitPoints === 2 && search === "doubled") return chooseDoubled(options, levels);
  const { gain, bins } = segmentGains(options, levels);
  const width = bins + 1;
  // best[s][j]: most gain of bins 0..j−1 in s + 1 segments; from[s][j]: where the last of them starts.
  let best = gain.slice(0, width);
  const from: Int32Array[] = [];
  for (let s = 1; s <= splitPoints; s++) {
    const next = new Float64Array(width).fill(-Infinity), start = new Int32Array(width);
    for (let j = s + 1; j <= bins; j++) {
      for (let i = s; i < j; i++) {
        const total = best[i] + gain[i * width + j];
        if (total > next[j]) {
          next[j] = total;
          start[j] = i;
        }
      }
    }
    from.push(start);
    best = next;
  }
  const cuts: number[] = [];
  for (let s = splitPoints, j = bins; s > 0; s--) {
    j = from[s - 1][j];
    cuts.unshift(levels[j - 1]);
  }
  return cuts;
}

/** The best p1 with p2 = 2·p1, where both are at most the largest candidate or else p2 leaves its segment empty. */
function chooseDoubled(options: SegmentOptions, levels: Float32Array): number[] {
  // Candidates and their doubles, in order, are the bounds of the bins.
  const all = Float32Array.from(new Set([...levels, ...levels.map((p) => 2 * p)])).sort();
  const { gain, bins } = segmentGains(options, all);
  const width = bins + 1;
  let most = -Infinity, cut = levels[0];
  for (const p of levels) {
    const i = all.indexOf(p) + 1, j = all.indexOf(Math.fround(2 * p)) + 1;
    const total = gain[i] + (i < j ? gain[i * width + j] : 0) + gain[j * width + bins];
    if (total > most) {
      most = total;
      cut = p;
    }
  }
  return [cut, Math.fround(2 * cut)];
}

/** Σ over rows of n·(μ² + α²) for every run of bins that `levels` (ascending) make of |w|. */
function segmentGains(options: SegmentOptions, levels: Float32Array): Gains {
  const { w, salient, rank, pruned, rows, cols } = options;
  const values = options.values ?? w;
  const bins = levels.length + 1, width = bins + 1;
  const gain = new Float64Array(width * width);
  // Prefix sums over the bins of one row: count, Σv, Σ|v|, Σsign v.
  const n = new Int32Array(width), s = new Float64Array(width);
  const absolute = new Float64Array(width), signs = new Float64Array(width);
  const reciprocal = Float64Array.from({ length: cols + 1 }, (_, count) => count === 0 ? 0 : 1 / count);
  const firstBin = binTable(levels), edges = Float32Array.of(...levels, Infinity);
  const magnitude = new Float32Array(1), bits = new Uint32Array(magnitude.buffer);
  for (let r = 0; r < rows; r++) {
    n.fill(0);
    s.fill(0);
    absolute.fill(0);
    signs.fill(0);
    for (let c = 0, at = r * cols; c < cols; c++, at++) {
      if (salient[c] !== 0 || rank[at] < pruned) continue;
      const a = Math.abs(w[at]), v = values[at];
      magnitude[0] = a;
      let bin = firstBin[bits[0] >>> TABLE_SHIFT];
      while (edges[bin] <= a) bin++;
      bin++;
      n[bin]++;
      s[bin] += v;
      absolute[bin] += Math.abs(v);
      signs[bin] += v >= 0 ? 1 : -1;
    }
    for (let i = 1; i < width; i++) {
      n[i] += n[i - 1];
      s[i] += s[i - 1];
      absolute[i] += absolute[i - 1];
      signs[i] += signs[i - 1];
    }
    for (let i = 0; i < bins; i++) {
      const line = i * width, ni = n[i], si = s[i], ai = absolute[i], gi = signs[i];
      for (let j = i + 1; j < width; j++) {
        const by = reciprocal[n[j] - ni], sum = s[j] - si;
        const scale = absolute[j] - ai - sum * by * (signs[j] - gi);
        gain[line + j] += (sum * sum + scale * scale) * by;
      }
    }
  }
  return { gain, bins };
}

const TABLE_SHIFT = 19;

/** For the leading bits of a magnitude, the bin of the smallest value that has them. */
function binTable(levels: Float32Array): Uint16Array {
  const table = new Uint16Array(1 << (32 - TABLE_SHIFT - 1));
  const least = new Float32Array(1), bits = new Uint32Array(least.buffer);
  for (let t = 0, bin = 0; t < table.length; t++) {
    bits[0] = t << TABLE_SHIFT;
    while (bin < levels.length && levels[bin] <= least[0]) bin++;
    table[t] = bin;
  }
  return table;
}
