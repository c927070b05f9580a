/** Grids that are fitted to rows of weights. */
import type { Matrix } from "../device.ts";
import type { GridKind } from "./grid_row.ts";

/** Input of `fitRows`. */
export interface FitOptions {
  /** rows × cols */
  readonly w: Float32Array;
  readonly rows: number;
  readonly cols: number;
  readonly bits: number;
  readonly grid: GridKind;
}

/** Operands of `fitGrid`. */
export interface FitOperands extends Pick<FitOptions, "bits" | "grid"> {
  readonly w: Matrix;
}

/** Operands of `gridZeros`, rows × 1. */
export interface ZeroOperands {
  readonly scales: Matrix;
  readonly lows: Matrix;
  readonly bits: number;
}

/**
 * Fits a grid to each row. `minmax`: it reaches from the smallest weight to the largest, 0 included, so scale = (max − min)/(2^bits − 1)
 * (GPTQ, arXiv 2210.17323, asymmetric); `sign`: scale = mean |w|, the best for signs (XNOR-Net, arXiv 1603.05279). A row of zeros has
 * scale 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const scales = new Float32Array(2), lows = new Float32Array(2), w = Float32Array.of(-1, 0.5, 2, 1, 1, 0.25);
 * fitRows(scales, lows, { w, rows: 2, cols: 3, bits: 2, grid: "minmax" });
 * assert.deepEqual([[...scales], [...lows]], [[1, Math.fround(1 / 3)], [-1, 0]]);
 * fitRows(scales, lows, { w, rows: 2, cols: 3, bits: 1, grid: "sign" });
 * assert.deepEqual([...scales], [Math.fround(3.5 / 3), 0.75]);
 * ```
 * @param scales rows, overwritten
 * @param lows rows, overwritten: the smallest weight or 0
 */
export function fitRows(scales: Float32Array, lows: Float32Array, { w, rows, cols, bits, grid }: FitOptions): void {
  for (let row = 0, at = 0; row < rows; row++) {
    let low = 0, high = 0, sum = 0;
    for (const end = at + cols; at < end; at++) {
      const x = w[at];
      if (x < low) low = x;
      else if (x > high) high = x;
      sum += Math.abs(x);
    }
    // What is no number stays one, and is found at the layer's end.
    const spread = Number.isFinite(sum) ? (high - low) / (2 ** bits - 1) : NaN;
    scales[row] = grid === "sign" ? sum / cols : spread;
    lows[row] = low;
  }
}

/**
 * The code of each row that stands for 0: −low/scale rounded, of two equally near the higher.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const zeros = new Uint8Array(3);
 * zerosOf(zeros, { scales: Float32Array.of(1, 0.5, 0), lows: Float32Array.of(-1.25, -9, 0), bits: 2 });
 * assert.deepEqual([...zeros], [1, 3, 0]);
 * ```
 * @param zeros rows, overwritten
 * @param options.scales as they will be stored
 */
export function zerosOf(
  zeros: Uint8Array,
  { scales, lows, bits }: { readonly scales: Float32Array; readonly lows: Float32Array; readonly bits: number },
): void {
  const most = 2 ** bits - 1;
  for (let row = 0; row < zeros.length; row++) {
    zeros[row] = scales[row] > 0 ? Math.min(most, Math.floor(-lows[row] / scales[row] + 0.5)) : 0;
  }
}
