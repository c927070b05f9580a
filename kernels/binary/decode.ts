/** From codes and scales back to weights. */
import type { Matrix } from "../device.ts";
import { type BlockShape, KEPT, type QuantizedLayer, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";

/** One column block as codes and scales. */
export interface BlockCodes {
  /** rows × cols, see `quantized_layer.ts` */
  readonly codes: Uint8Array;
  /** rows × scales of a row */
  readonly scales: Float32Array;
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
}

/** Operands of `decode`. */
export interface DecodeOperands extends BlockShape {
  /** rows × cols */
  readonly codes: Matrix<"u8">;
  /** rows × scales of a row */
  readonly scales: Matrix;
  /** Consecutive columns that share scales; all of them by default. */
  readonly groupSize?: number;
}

/**
 * Writes the value of every level of one row: `table[code]` is what a kept code decodes to, 0 for a pruned one.
 *
 * @param table at least 8 × (segments + 1)
 * @param at where the row's scales start in `scales`
 */
export function fillLevels(
  table: Float32Array | Float64Array,
  scales: Float32Array,
  at: number,
  shape: { readonly segments: number; readonly salient: boolean },
): void {
  const first = shape.salient ? 3 : 0;
  table.fill(0, 0, 8 * (shape.segments + 1));
  for (let g = shape.salient ? 0 : 1; g <= shape.segments; g++) {
    const base = g === 0 ? at : at + first + 2 * (g - 1);
    const mean = scales[base], one = scales[base + 1], two = g === 0 ? scales[base + 2] : 0;
    for (let signs = KEPT; signs < 8; signs += 2) {
      table[8 * g + signs] = mean + ((signs & SIGN) !== 0 ? one : -one) + ((signs & SECOND_SIGN) !== 0 ? two : -two);
    }
  }
}

/**
 * Decodes one column block: mean ± scale (± second scale) where kept, 0 where pruned.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "./quantized_layer.ts";
 * const group = 1 << GROUP_SHIFT, out = new Float32Array(3);
 * const codes = Uint8Array.of(group, group | KEPT, group | KEPT | SIGN);
 * decodeBlock(out, { codes, scales: Float32Array.of(3, 2), rows: 1, cols: 3, segments: 1, salient: false });
 * assert.deepEqual([...out], [0, 1, 5]);
 * ```
 * @param out rows × cols, overwritten
 */
export function decodeBlock(out: Float32Array, block: BlockCodes): void {
  const { codes, scales, rows, cols, segments, salient } = block;
  const stride = scalesPerBlock(block);
  const table = new Float32Array(8 * (segments + 1));
  for (let r = 0, at = 0; r < rows; r++) {
    fillLevels(table, scales, r * stride, { segments, salient });
    for (const end = at + cols; at < end; at++) out[at] = table[codes[at]];
  }
}

/** What of a layer makes its weights. */
export type DecodableLayer = BlockCodes & Pick<QuantizedLayer, "groupSize">;

/**
 * Decodes a layer into its weight matrix.
 *
 * @param out rows × cols, overwritten
 * @returns rows × cols
 */
export function decodeLayer(
  layer: DecodableLayer,
  out: Float32Array = new Float32Array(layer.rows * layer.cols),
): Float32Array {
  const { rows, cols, groupSize, segments, salient, codes, scales } = layer;
  const stride = scalesPerBlock(layer), blocks = Math.ceil(cols / groupSize);
  const table = new Float32Array(8 * (segments + 1));
  for (let r = 0; r < rows; r++) {
    for (let b = 0; b < blocks; b++) {
      fillLevels(table, scales, (r * blocks + b) * stride, { segments, salient });
      const end = r * cols + Math.min((b + 1) * groupSize, cols);
      for (let at = r * cols + b * groupSize; at < end; at++) out[at] = table[codes[at]];
    }
  }
  return out;
}
