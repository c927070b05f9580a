/**
 * GPTQ's order inside one column block: each column is rounded to its grids after the errors of the columns before it were fed forward.
 *
 * Rows are taken some at a time, transposed, so that every inner loop runs over rows that lie side by side; errors reach the columns
 * behind a strip of eight together, as a loop that reads eight errors and writes one sum is bound by arithmetic and not by memory.
 */
import type { Matrix } from "../device.ts";
import type { GridOperands, RowGrids } from "./grid_row.ts";

/** Input of `columnwiseGridSweep`. */
export interface ColumnwiseGridOptions extends Omit<RowGrids, "grid"> {
  /** rows × cols */
  readonly w: Float32Array;
  /** cols × cols, row-major: U_bb, upper factor of the damped inverse; the lower triangle is not read. */
  readonly factor: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** Operands of `columnwiseGrid`; see `ColumnwiseGridOptions`. */
export interface ColumnwiseGridOperands extends Omit<GridOperands, "grid"> {
  readonly w: Matrix;
  readonly factor: Matrix;
}

/** Rows that are taken together: those of a block of 128 columns fit a core's caches in float64. */
const TILE = 64;

/** Columns whose errors are fed forward together. */
const STRIP = 8;

/**
 * For each column j in order: q_j = the nearest level; err_j = (w_j − q_j)/U_jj; w_k −= err_j·U_jk for k > j (GPTQ, arXiv 2210.17323,
 * Algorithm 1).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const codes = new Uint8Array(2), errors = new Float32Array(2), grids = { scales: Float32Array.of(1), zeros: Uint8Array.of(1) };
 * const block = { w: Float32Array.of(3, 1), factor: Float32Array.of(2, 2, 0, 1), rows: 1, cols: 2, bits: 2 };
 * columnwiseGridSweep(codes, errors, { ...block, ...grids });
 * assert.deepEqual([[...codes], [...errors]], [[3, 1], [0.5, 0]]);
 * ```
 * @param codes rows × cols, overwritten
 * @param errors rows × cols, overwritten: err
 */
export function columnwiseGridSweep(codes: Uint8Array, errors: Float32Array, options: ColumnwiseGridOptions): void {
  const { w, scales, zeros, bits, rows, cols } = options, most = 2 ** bits - 1;
  const factor = Float64Array.from(options.factor),
    x = new Float64Array(TILE * cols),
    strip = new Float64Array(TILE * STRIP);
  for (let first = 0; first < rows; first += TILE) {
    const tile = Math.min(TILE, rows - first);
    for (let row = 0; row < tile; row++) {
      for (let col = 0, at = (first + row) * cols, to = row; col < cols; col++, at++, to += TILE) x[to] = w[at];
    }
    for (let col = 0; col < cols; col += STRIP) {
      const end = Math.min(col + STRIP, cols);
      // Within the strip row by row: what a row has left of it stays in registers or a line of the cache.
      for (let row = 0; row < tile; row++) {
        const scale = scales[first + row], zero = zeros[first + row];
        for (let j = col, of = col * TILE + row; j < end; j++, of += TILE) {
          let v = x[of];
          for (let i = col, from = row, by = col * cols + j; i < j; i++, from += TILE, by += cols) {
            v -= strip[from] * factor[by];
          }
          const found = scale > 0 ? Math.floor(v / scale + 0.5) + zero : zero;
          const code = found > 0 ? found < most ? found : most : 0;
          const error = (v - Math.fround((code - zero) * scale)) / factor[j * (cols + 1)];
          codes[(first + row) * cols + j] = code;
          errors[(first + row) * cols + j] = error;
          strip[(j - col) * TILE + row] = error;
        }
      }
      for (let k = end; k < cols; k++) feedStrip(x, strip, { factor, cols, col, k, tile });
    }
  }
}

/** x_k −= Σ err·U of a whole strip. */
function feedStrip(
  x: Float64Array,
  strip: Float64Array,
  { factor, cols, col, k, tile }: {
    readonly factor: Float64Array;
    readonly cols: number;
    readonly col: number;
    readonly k: number;
    readonly tile: number;
  },
): void {
  const u = col * cols + k;
  const a = factor[u], b = factor[u + cols], c = factor[u + 2 * cols], d = factor[u + 3 * cols];
  const e = factor[u + 4 * cols], f = factor[u + 5 * cols], g = factor[u + 6 * cols], h = factor[u + 7 * cols];
  for (let row = 0, to = k * TILE; row < tile; row++, to++) {
    x[to] -= strip[row] * a + strip[row + TILE] * b + strip[row + 2 * TILE] * c + strip[row + 3 * TILE] * d +
      (strip[row + 4 * TILE] * e + strip[row + 5 * TILE] * f + strip[row + 6 * TILE] * g + strip[row + 7 * TILE] * h);
  }
}
