/**
 * Alternating refined binarization with row and column scales (ARB-RC, arXiv 2410.03129): every level is ±(scale of its row)·(scale of
 * its column), without means; salient columns are the sum of two such.
 */
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import type { Matrix } from "../device.ts";
import { productsPerRow, type RefinedShape } from "./layout.ts";
import { nearest } from "./means.ts";

/** Input of `refineProductBlock`. */
export interface ProductsOptions extends RefinedShape {
  /** rows × cols */
  readonly w: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Rounds (official code: 15). */
  readonly iterations: number;
}

/** Operands of `refineProducts`; see `ProductsOptions`. */
export interface ProductsOperands extends RefinedShape {
  readonly w: Matrix;
  readonly iterations: number;
}

/** What a block comes to. */
export interface ProductScales {
  /** rows × `productsPerRow`: both scales of each doubled group, then the scale of each single one. */
  readonly rows: Float32Array;
  /** cols × `productsPerRow`, likewise; 0 where no weight of the column is in the group. */
  readonly columns: Float32Array;
}

/** Share of a weight below which the rest of it is rounding: float64 and pairs of floats are well below it, float32 well above. */
const NOTHING = 2 ** -36;

/**
 * Binarizes a column block by row and column scales.
 *
 * Single groups: signs are those of the weights; scale of row i: Σ_j c_j|w_ij| / Σ_j c_j², of column j: Σ_i r_i|w_ij| / Σ_i r_i², in turn.
 * Doubled groups: the same for each of the two signs on what the other leaves, then the nearest of the four levels.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const w = Float32Array.of(1, -2, -3, 6), codes = new Uint8Array(4);
 * const scales = { rows: new Float32Array(2), columns: new Float32Array(2) };
 * refineProductBlock(codes, scales, { w, rows: 2, cols: 2, doubled: 0, single: 1, iterations: 15 });
 * const [r, c] = [scales.rows, scales.columns];
 * assert.deepEqual([r[0] * c[0], r[0] * c[1], r[1] * c[0]].map((x) => x.toFixed(4)), ["1.0000", "2.0000", "3.0000"]);
 * assert.deepEqual([...codes], [3, 1, 1, 3]);
 * ```
 * @param codes rows × cols: groups on entry; KEPT and signs are written
 */
export function refineProductBlock(codes: Uint8Array, scales: ProductScales, options: ProductsOptions): void {
  const { w, rows, cols, doubled, single } = options, stride = productsPerRow(options);
  const found = { row: new Float64Array(stride * rows), column: new Float64Array(stride * cols) };
  for (let at = 0; at < codes.length; at++) {
    codes[at] = codes[at] & -(1 << GROUP_SHIFT) | KEPT | (w[at] >= 0 ? SIGN : 0);
  }
  if (single > 0) refineSingles(codes, found, options);
  for (let g = 0; g < doubled; g++) refineDoubled(codes, found, g, options);
  for (let k = 0; k < stride; k++) {
    for (let r = 0; r < rows; r++) scales.rows[r * stride + k] = found.row[k * rows + r];
    for (let c = 0; c < cols; c++) scales.columns[c * stride + k] = found.column[k * cols + c];
  }
}

/** Scales as they are found: of each place among a row's, one after the other. */
interface Found {
  readonly row: Float64Array;
  readonly column: Float64Array;
}

/** All groups of one sign at once: a weight's group is an index, so that nothing branches. */
function refineSingles(codes: Uint8Array, { row, column }: Found, options: ProductsOptions): void {
  const { w, rows, cols, doubled, single, iterations } = options, first = 2 * doubled;
  // Weights of doubled groups go to a place of their own, which is thrown away.
  const size = new Float32Array(rows * cols), place = new Uint8Array(rows * cols);
  for (let at = 0; at < size.length; at++) {
    const group = codes[at] >> GROUP_SHIFT;
    place[at] = group < doubled ? single : group - doubled;
    size[at] = group < doubled ? 0 : Math.abs(w[at]);
  }
  const places = single + 1, c = new Float64Array(places * cols), own = new Float64Array(places);
  const above = new Float64Array(places), below = new Float64Array(places);
  const sums = new Float64Array(places * cols), squares = new Float64Array(places * cols);
  for (let round = 0; round <= iterations; round++) {
    sums.fill(0);
    squares.fill(0);
    for (let r = 0; r < rows; r++) {
      const line = r * cols;
      above.fill(0);
      below.fill(0);
      for (let j = 0; j < cols; j++) {
        const g = place[line + j], by = round === 0 ? 1 : c[g * cols + j];
        above[g] += by * size[line + j];
        below[g] += by * by;
      }
      for (let g = 0; g < places; g++) {
        own[g] = below[g] > 0 ? above[g] / below[g] : 0;
        if (g < single) row[(first + g) * rows + r] = own[g];
      }
      // At first a column's scale is the mean of |w|/r, later Σ r|w| / Σ r².
      for (let j = 0; j < cols; j++) {
        const g = place[line + j], by = own[g], at = g * cols + j;
        sums[at] += round === 0 ? (by > 0 ? size[line + j] / by : 0) : by * size[line + j];
        squares[at] += round === 0 ? Number(by > 0) : by * by;
      }
    }
    for (let at = 0; at < c.length; at++) c[at] = squares[at] > 0 ? sums[at] / squares[at] : 0;
  }
  column.set(c.subarray(0, single * cols), first * cols);
}

/**
 * What the other order leaves of a weight. A column with one weight in the group is met exactly: what rounding leaves of it is nothing,
 * or else its sign would be chance, and another on each device.
 */
function restOf(x: number, level: number): number {
  const rest = x - level;
  return Math.abs(rest) > NOTHING * Math.abs(x) ? rest : 0;
}

/** One group of two signs. */
function refineDoubled(codes: Uint8Array, { row, column }: Found, group: number, options: ProductsOptions): void {
  const { w, rows, cols, iterations } = options;
  const all = membersOf(codes, group, options), { ends, index } = all, count = index.length;
  const x = Float64Array.from(index, (at) => w[at]), col = Int32Array.from(index, (at) => at % cols);
  // Signs of each member as numbers, first and second.
  const signs = [new Float64Array(count), new Float64Array(count)] as const;
  const r = [row.subarray(2 * group * rows), row.subarray((2 * group + 1) * rows)] as const;
  const c = [column.subarray(2 * group * cols), column.subarray((2 * group + 1) * cols)] as const;
  const rest = x.slice(), sums = new Float64Array(cols), squares = new Float64Array(cols);
  for (const order of [0, 1] as const) {
    sums.fill(0);
    squares.fill(0);
    for (let i = 0, k = 0; i < rows; i++) {
      const start = k, end = ends[i + 1];
      let sum = 0;
      for (; k < end; k++) {
        sum += Math.abs(rest[k]);
        signs[order][k] = rest[k] >= 0 ? 1 : -1;
      }
      const scale = r[order][i] = end > start ? sum / (end - start) : 0;
      for (k = start; scale > 0 && k < end; k++) {
        sums[col[k]] += Math.abs(rest[k]) / scale;
        squares[col[k]]++;
      }
      k = end;
    }
    for (let j = 0; j < cols; j++) c[order][j] = squares[j] > 0 ? sums[j] / squares[j] : 0;
    for (let i = 0, k = 0; i < rows; i++) {
      for (const end = ends[i + 1]; k < end; k++) {
        rest[k] = restOf(x[k], r[order][i] * c[order][col[k]] * signs[order][k]);
      }
    }
  }
  for (let round = 0; round < iterations; round++) {
    for (const order of [0, 1] as const) {
      const [sign, other] = [signs[order], signs[1 - order]], [mine, theirs] = [c[order], c[1 - order]];
      sums.fill(0);
      squares.fill(0);
      for (let i = 0, k = 0; i < rows; i++) {
        const start = k, end = ends[i + 1], their = r[1 - order][i];
        let above = 0, below = 0;
        for (; k < end; k++) {
          const by = mine[col[k]];
          rest[k] = sign[k] * restOf(x[k], their * theirs[col[k]] * other[k]);
          above += by * rest[k];
          below += by * by;
        }
        const scale = r[order][i] = below > 0 ? above / below : 0;
        for (k = start; k < end; k++) {
          sums[col[k]] += scale * rest[k];
          squares[col[k]] += scale * scale;
        }
      }
      for (let j = 0; j < cols; j++) mine[j] = squares[j] > 0 ? sums[j] / squares[j] : 0;
    }
    for (let i = 0, k = 0; i < rows; i++) {
      for (const end = ends[i + 1]; k < end; k++) {
        const found = nearest(x[k], r[0][i] * c[0][col[k]], r[1][i] * c[1][col[k]]);
        signs[0][k] = (found & 2) - 1;
        signs[1][k] = 2 * (found & 1) - 1;
      }
    }
  }
  for (let k = 0; k < count; k++) {
    codes[index[k]] = group << GROUP_SHIFT | KEPT | (signs[0][k] > 0 ? SIGN : 0) | (signs[1][k] > 0 ? SECOND_SIGN : 0);
  }
}

/** The weights of a group, row by row: of row i those from ends[i] to ends[i + 1] − 1. */
function membersOf(
  codes: Uint8Array,
  group: number,
  { rows, cols }: ProductsOptions,
): { readonly ends: Int32Array; readonly index: Int32Array } {
  const ends = new Int32Array(rows + 1), index = new Int32Array(codes.length);
  let count = 0;
  for (let i = 0, at = 0; i < rows; i++) {
    for (const end = at + cols; at < end; at++) if (codes[at] >> GROUP_SHIFT === group) index[count++] = at;
    ends[i + 1] = count;
  }
  return { ends, index: index.subarray(0, count) };
}
