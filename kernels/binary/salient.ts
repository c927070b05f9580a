/**
 * The search for the salient columns of a column block: how many of the columns with the largest scores are worth a
 * second sign.
 *
 * The error of every count is exact. Each row is sorted once; from one count to the next one weight changes sides, so the
 * four levels' thresholds move a little and their sums are kept up to date instead of being made anew.
 */
import type { Matrix } from "../device.ts";
import type { SeenOptions } from "./quantized_layer.ts";

/** Input of `salientSearch`. */
export interface SalientOptions {
  /** rows × cols: columns are ordered by Σ_rows |score|. */
  readonly score: Float32Array;
  /** rows × cols: what is binarized when a count is judged (weights, or scores in the official lineage). */
  readonly values: Float32Array;
  /** cols: factor of each column's squared error; default 1. */
  readonly columnWeight?: Float32Array;
  /** rows × cols, from `rankNM`; only weights of rank ≥ pruned are seen. */
  readonly rank: Uint8Array;
  readonly pruned: number;
  readonly rows: number;
  readonly cols: number;
  /** Largest count that is tried (paper's lineage: 49); at least one column stays on the other side. */
  readonly most: number;
  /** Looks at every sixth count, then around the best of them in steps of 3 and of 1; by default at every count. */
  readonly coarse?: boolean;
}

/** Operands of `salientSearch`; see `SalientOptions`. */
export interface SalientOperands extends SeenOptions {
  readonly score: Matrix;
  readonly values: Matrix;
  readonly columnWeight?: Matrix;
  readonly most: number;
  readonly coarse?: boolean;
}

/** Bounds of the four levels: between them count, sum, Σweight and Σweight·value of the weights below. */
const BOUNDS = 3;

/**
 * Chooses the salient columns: the count k in 1..min(most, cols − 1) of leading columns with the least squared error
 * when these and the rest are each binarized per row with an order-2 residual (BiLLM's structural search).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const values = Float32Array.of(8, 1, -1, 2, -2), score = values.map((v) => v * v), salient = new Uint8Array(5);
 * salientSearch(salient, { score, values, rank: new Uint8Array(5), pruned: 0, rows: 1, cols: 5, most: 49 });
 * assert.deepEqual([...salient], [1, 0, 0, 0, 0]);
 * ```
 * @param salient cols, overwritten: 1 where salient
 */
export function salientSearch(salient: Uint8Array, options: SalientOptions): void {
  const { cols, most, coarse = false } = options;
  salient.fill(0, 0, cols);
  const limit = Math.min(most, cols - 1);
  if (limit < 1) return;
  const order = orderColumns(options);
  const errors = salientErrors(options, order.subarray(0, limit));
  const count = bestCount(errors, coarse);
  for (let k = 0; k < count; k++) salient[order[k]] = 1;
}

/** The count with the least error, the fewest of equal ones; `errors[count − 1]` belongs to `count`. */
function bestCount(errors: Float64Array, coarse: boolean): number {
  let best = 1;
  const look = (count: number) => {
    if (count >= 1 && count <= errors.length && errors[count - 1] < errors[best - 1]) best = count;
  };
  for (let count = 1; count <= errors.length; count += coarse ? 6 : 1) look(count);
  if (!coarse) return best;
  for (const step of [3, 1]) {
    const middle = best;
    for (const away of [-2, -1, 1, 2]) look(middle + away * step);
  }
  return best;
}

/** Columns by Σ_rows |score|, largest first, equal ones by index.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...orderColumns({ score: Float32Array.of(1, 5, 1), rows: 1, cols: 3 })], [1, 0, 2]);
 * ```
 */
export function orderColumns({ score, rows, cols }: Pick<SalientOptions, "score" | "rows" | "cols">): Uint32Array {
  const total = new Float64Array(cols);
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) total[c] += Math.abs(score[at]);
  }
  return Uint32Array.from({ length: cols }, (_, c) => c).sort((a, b) => total[b] - total[a] || a - b);
}

/**
 * Squared error of the block for each number of salient columns.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const shape = { rank: new Uint8Array(3), pruned: 0, rows: 1, cols: 3 };
 * const errors = salientErrors({ ...shape, values: Float32Array.of(8, 1, -1) }, Uint32Array.of(0));
 * assert.deepEqual([...errors], [0]);
 * ```
 * @param leading columns in the order in which they become salient
 * @returns for each k in 1..leading.length, at k − 1: Σ over rows and seen weights of weight_j·(value − level)²
 */
export function salientErrors(
  options: Omit<SalientOptions, "score" | "most" | "coarse">,
  leading: Uint32Array,
): Float64Array {
  const { values, columnWeight, rank, pruned, rows, cols } = options;
  const errors = new Float64Array(leading.length);
  const step = new Int32Array(cols).fill(-1);
  for (let k = 0; k < leading.length; k++) step[leading[k]] = k;
  const sorter = makeSorter(cols), bounds = new Float64Array(4 * BOUNDS);
  const all = makeSide(cols, leading.length, true), leaders = makeSide(leading.length, leading.length, false);
  for (let r = 0; r < rows; r++) {
    const row = r * cols, seen = sortRow(sorter, values, rank, row, pruned);
    all.moves.fill(-1);
    leaders.moves.fill(-1);
    let found = 0;
    for (let i = 0; i < seen; i++) {
      const c = sorter.column[i], k = step[c];
      const x = values[row + c], weight = columnWeight === undefined ? 1 : columnWeight[c];
      all.x[i] = x;
      all.weight[i] = weight;
      if (k < 0) continue;
      all.moves[k] = i;
      leaders.x[found] = x;
      leaders.weight[found] = weight;
      leaders.moves[k] = found++;
    }
    sweep(errors, bounds, all, seen);
    sweep(errors, bounds, leaders, found);
  }
  return errors;
}

interface Sorter {
  readonly key: Uint32Array;
  readonly column: Uint16Array;
  readonly otherKey: Uint32Array;
  readonly otherColumn: Uint16Array;
  /** Two digits of 8 bits. */
  readonly counts: Int32Array;
  readonly bits: Uint32Array;
  readonly float: Float32Array;
}

function makeSorter(cols: number): Sorter {
  const float = new Float32Array(1);
  return {
    key: new Uint32Array(cols),
    column: new Uint16Array(cols),
    otherKey: new Uint32Array(cols),
    otherColumn: new Uint16Array(cols),
    counts: new Int32Array(512),
    bits: new Uint32Array(float.buffer),
    float,
  };
}

/**
 * Sorts the seen values of a row upwards: by counting over the leading 16 bits, which hardly branches, then by
 * insertion.
 *
 * @returns how many are seen; their columns stand in `sorter.column`
 */
function sortRow(sorter: Sorter, values: Float32Array, rank: Uint8Array, row: number, pruned: number): number {
  const { key, column, otherKey, otherColumn, counts, bits, float } = sorter;
  const cols = key.length;
  let seen = 0;
  counts.fill(0);
  for (let c = 0; c < cols; c++) {
    if (rank[row + c] < pruned) continue;
    float[0] = values[row + c];
    const b = bits[0] | 0, k = (b ^ ((b >> 31) | -0x80000000)) >>> 0;
    key[seen] = k;
    column[seen++] = c;
    counts[k >>> 16 & 255]++;
    counts[256 + (k >>> 24)]++;
  }
  for (let d = 0, low = 0, high = 0; d < 256; d++) {
    const a = counts[d], b = counts[256 + d];
    counts[d] = low;
    counts[256 + d] = high;
    low += a;
    high += b;
  }
  for (let i = 0; i < seen; i++) {
    const to = counts[key[i] >>> 16 & 255]++;
    otherKey[to] = key[i];
    otherColumn[to] = column[i];
  }
  for (let i = 0; i < seen; i++) {
    const to = counts[256 + (otherKey[i] >>> 24)]++;
    key[to] = otherKey[i];
    column[to] = otherColumn[i];
  }
  for (let i = 1; i < seen; i++) {
    const k = key[i], c = column[i];
    let j = i;
    for (; j > 0 && key[j - 1] > k; j--) {
      key[j] = key[j - 1];
      column[j] = column[j - 1];
    }
    key[j] = k;
    column[j] = c;
  }
  return seen;
}

interface Side {
  /** Sorted values, of which those with inside = 1 belong to this side. */
  readonly x: Float64Array;
  readonly weight: Float64Array;
  readonly inside: Uint8Array;
  /** For each step the sorted place of the weight that changes sides, or −1. */
  readonly moves: Int32Array;
  /** For each bound the sorted place of the first value that is not below it. */
  readonly at: Int32Array;
  /** Whether the side starts with everything and loses, or starts empty and gains. */
  readonly full: boolean;
}

function makeSide(size: number, steps: number, full: boolean): Side {
  return {
    x: new Float64Array(size),
    weight: new Float64Array(size),
    inside: new Uint8Array(size),
    moves: new Int32Array(steps),
    at: new Int32Array(BOUNDS),
    full,
  };
}

/** Adds one side's error after every step to `errors`; `seen` of its places are filled. */
function sweep(errors: Float64Array, bounds: Float64Array, side: Side, seen: number): void {
  const { x, weight, inside, moves, at, full } = side;
  inside.fill(full ? 1 : 0, 0, seen);
  at.fill(0);
  bounds.fill(0);
  let n = 0, s = 0, c = 0, cx = 0, cxx = 0;
  if (full) {
    for (let i = 0; i < seen; i++) {
      n++;
      s += x[i];
      c += weight[i];
      cx += weight[i] * x[i];
      cxx += weight[i] * x[i] * x[i];
    }
  }
  const sign = full ? -1 : 1;
  for (let k = 0; k < moves.length; k++) {
    const i = moves[k];
    if (i >= 0) {
      const v = x[i], u = sign * weight[i];
      inside[i] = full ? 0 : 1;
      n += sign;
      s += sign * v;
      c += u;
      cx += u * v;
      cxx += u * v * v;
      for (let t = 0; t < BOUNDS; t++) {
        if (i >= at[t]) continue;
        bounds[4 * t] += sign;
        bounds[4 * t + 1] += sign * v;
        bounds[4 * t + 2] += u;
        bounds[4 * t + 3] += u * v;
      }
    }
    if (n === 0) continue;
    const mean = s / n;
    moveBound(bounds, 1, mean, side, seen);
    const nLow = bounds[4], sLow = bounds[5];
    const scale = (s - 2 * sLow - (n - 2 * nLow) * mean) / n;
    const shift = -scale * (n - 2 * nLow) / n;
    const low = mean - scale + shift, high = mean + scale + shift;
    moveBound(bounds, 0, Math.min(low, mean), side, seen);
    moveBound(bounds, 2, Math.max(high, mean), side, seen);
    // Σ|value − level of its side|: each quarter's sum against the threshold in its middle.
    const n0 = bounds[0], n1 = nLow - n0, n2 = bounds[8] - nLow, n3 = n - bounds[8];
    const s0 = bounds[1], s1 = sLow - s0, s2 = bounds[9] - sLow, s3 = s - bounds[9];
    const second = (s1 - s0 - (n1 - n0) * low + s3 - s2 - (n3 - n2) * high) / n;
    const a = low - second, b = low + second, d = high - second, e = high + second;
    const c0 = bounds[2], c1 = bounds[6] - c0, c2 = bounds[10] - bounds[6], c3 = c - bounds[10];
    const y0 = bounds[3], y1 = bounds[7] - y0, y2 = bounds[11] - bounds[7], y3 = cx - bounds[11];
    const error = cxx + a * (a * c0 - 2 * y0) + b * (b * c1 - 2 * y1) + d * (d * c2 - 2 * y2) + e * (e * c3 - 2 * y3);
    if (error > 0) errors[k] += error;
  }
}

/**
 * Moves threshold t to the first sorted place whose value is ≥ the threshold, keeping the sums of the weights below
 * it.
 */
function moveBound(bounds: Float64Array, t: number, threshold: number, side: Side, seen: number): void {
  const { x, weight, inside, at } = side;
  let i = at[t];
  let n = bounds[4 * t], s = bounds[4 * t + 1], c = bounds[4 * t + 2], y = bounds[4 * t + 3];
  while (i < seen && x[i] < threshold) {
    if (inside[i] === 1) {
      n++;
      s += x[i];
      c += weight[i];
      y += weight[i] * x[i];
    }
    i++;
  }
  while (i > 0 && x[i - 1] >= threshold) {
    i--;
    if (inside[i] === 1) {
      n--;
      s -= x[i];
      c -= weight[i];
      y -= weight[i] * x[i];
    }
  }
  at[t] = i;
  bounds[4 * t] = n;
  bounds[4 * t + 1] = s;
  bounds[4 * t + 2] = c;
  bounds[4 * t + 3] = y;
}
