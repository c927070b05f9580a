/** Weights to codes of their row's grid, and back. */
import type { Matrix } from "../device.ts";
import type { GridKind, GridOperands, RowGrids } from "./grid_row.ts";

/** Input of `roundRows`. */
export interface RoundOptions extends RowGrids {
  /** rows × cols */
  readonly w: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** Operands of `roundGrid`. */
export interface RoundGridOperands extends GridOperands {
  readonly w: Matrix;
}

/** Operands of `decodeGrid`. */
export interface DecodeGridOperands extends Pick<GridOperands, "grid"> {
  /** rows × cols */
  readonly codes: Matrix<"u8">;
  /** rows × groups */
  readonly scales: Matrix;
  /** rows × groups; not read for `sign`. */
  readonly zeros: Matrix<"u8">;
  /** Consecutive columns that share a scale; all of them by default. */
  readonly groupSize?: number;
}

/** Codes of a layer or column block, and their grids. */
export interface GridCodes {
  /** rows × cols */
  readonly codes: Uint8Array;
  /** rows × groups */
  readonly scales: Float32Array;
  /** rows × groups; empty for `sign`. */
  readonly zeros: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  /** Consecutive columns that share a scale. */
  readonly groupSize: number;
  readonly grid: GridKind;
}

/**
 * Each weight takes the nearest level of its row; of two equally near the higher. `sign`: code 1 where w ≥ 0.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const codes = new Uint8Array(4), w = Float32Array.of(-3, 0, 0.4, 0.5);
 * roundRows(codes, { w, rows: 1, cols: 4, scales: Float32Array.of(1), zeros: Uint8Array.of(1), bits: 2, grid: "minmax" });
 * assert.deepEqual([...codes], [0, 1, 1, 2]);
 * ```
 * @param codes rows × cols, overwritten
 */
export function roundRows(codes: Uint8Array, { w, rows, cols, scales, zeros, bits, grid }: RoundOptions): void {
  const most = 2 ** bits - 1;
  for (let row = 0, at = 0; row < rows; row++) {
    const scale = scales[row], zero = zeros[row], end = at + cols;
    if (grid === "sign") { for (; at < end; at++) codes[at] = w[at] >= 0 ? 1 : 0; }
    else if (!(scale > 0)) {
      codes.fill(zero, at, end);
      at = end;
    } else {
      for (; at < end; at++) {
        const code = Math.floor(w[at] / scale + 0.5) + zero;
        codes[at] = code > 0 ? code < most ? code : most : 0;
      }
    }
  }
}

/**
 * What codes stand for, rounded to float32.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const out = new Float32Array(4), codes = Uint8Array.of(0, 3, 1, 0), scales = Float32Array.of(2, 0.5);
 * const layer = { codes, scales, zeros: Uint8Array.of(1, 0), rows: 1, cols: 4, groupSize: 2, grid: "minmax" } as const;
 * decodeRows(out, layer);
 * assert.deepEqual([...out], [-2, 4, 0.5, 0]);
 * decodeRows(out, { ...layer, codes: Uint8Array.of(0, 1, 1, 0), grid: "sign" });
 * assert.deepEqual([...out], [-2, 2, 0.5, -0.5]);
 * ```
 * @param out rows × cols, overwritten
 * @returns out
 */
export function decodeRows(out: Float32Array, layer: GridCodes): Float32Array {
  const { codes, scales, zeros, rows, cols, groupSize, grid } = layer;
  for (let row = 0, at = 0, group = 0; row < rows; row++) {
    for (let col = 0; col < cols; col += groupSize, group++) {
      const scale = scales[group],
        zero = grid === "sign" ? 0.5 : zeros[group],
        unit = grid === "sign" ? 2 * scale : scale;
      for (const end = at + Math.min(groupSize, cols - col); at < end; at++) out[at] = (codes[at] - zero) * unit;
    }
  }
  return out;
}
