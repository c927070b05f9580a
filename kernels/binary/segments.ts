/**
 * The search for the segments of |w|: where to cut the non-salient weights of a column block, so that each row
 * binarizes well within each segment.
 */
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { orderStatistics } from "../scores/ops.ts";
import { segmentGains, type SegmentOptions } from "./segment_gains.ts";

/**
 * Cuts the non-salient weights into splitPoints + 1 segments and writes every weight's group into its code: 0 where
 * the column is salient, else 1.. by growing |w|. Weights that are not seen get the segment in which their |w| falls.
 *
 * The error of a segment is the prototype's: Σv² − n·μ² − n·α² per row with μ = mean v and α = (Σ|v| − μ·Σsign v)/n,
 * that is the order-1 error with signs about zero instead of about μ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const w = Float32Array.of(1, -1, 1, -1, 5, -5, 5, -5), codes = new Uint8Array(8);
 * const shape = { rows: 1, cols: 8, splitPoints: 1, search: "free", candidates: 9 } as const;
 * segmentSearch(codes, { ...shape, w, salient: new Uint8Array(8), rank: new Uint8Array(8), pruned: 0 });
 * assert.deepEqual([...codes.map((c) => c >> GROUP_SHIFT)], [1, 1, 1, 1, 2, 2, 2, 2]);
 * ```
 * @param codes rows × cols, overwritten: group bits only
 */
export function segmentSearch(codes: Uint8Array, options: SegmentOptions): void {
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
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...percentiles(Float32Array.of(10, 0, 5), 3)], [1, 5, 9]);
 * ```
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
  const { splitPoints, search, candidates, coarse = false } = options;
  const levels = percentiles(seen, candidates);
  if (splitPoints === 2 && search === "doubled") return chooseDoubled(options, levels);
  const { gain, bins } = segmentGains(options, levels);
  const width = bins + 1, stride = coarse && splitPoints > 1 ? 2 : 1;
  // best[s][j]: most gain of bins 0..j−1 in s + 1 segments; from[s][j]: where the last of them starts.
  let best = gain.slice(0, width);
  const from: Int32Array[] = [];
  for (let s = 1; s <= splitPoints; s++) {
    const next = new Float64Array(width).fill(-Infinity), start = new Int32Array(width);
    for (let j = s + 1; j <= bins; j++) {
      for (let i = s; i < j; i += stride) {
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
