/**
 * GPTQ's order inside one column block: each column is rounded to its levels after the errors of the columns before it
 * were fed forward.
 */
import { fillLevels } from "./decode.ts";
import type { Matrix } from "../device.ts";
import { type BlockShape, KEPT, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";

/** Input of `columnwiseSweep`. */
export interface ColumnwiseOptions {
  /** rows × cols */
  readonly w: Float32Array;
  /** cols × cols, row-major: U_bb, upper factor of the damped inverse; the lower triangle is not read. */
  readonly factor: Float32Array;
  /** rows × scales of a row */
  readonly scales: Float32Array;
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
}

/** Operands of `columnwise`; see `ColumnwiseOptions`. */
export interface ColumnwiseOperands extends BlockShape {
  readonly w: Matrix;
  readonly factor: Matrix;
  readonly scales: Matrix;
}

/**
 * For each column j in order: a kept weight takes the nearest level of its group, a pruned one 0; err_j = (w_j −
 * q_j)/U_jj; w_k −= err_j·U_jk for k > j (GPTQ).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "./quantized_layer.ts";
 * const code = 1 << GROUP_SHIFT | KEPT, codes = Uint8Array.of(code, code), errors = new Float32Array(2);
 * const block = { w: Float32Array.of(3, 1), factor: Float32Array.of(2, 2, 0, 1), scales: Float32Array.of(0, 1) };
 * columnwiseSweep(codes, errors, { ...block, rows: 1, cols: 2, segments: 1, salient: false });
 * assert.deepEqual([[...codes], [...errors]], [[code | SIGN, code], [1, 0]]);
 * ```
 * @param codes rows × cols: signs of the kept weights are changed, groups and masks are not
 * @param errors rows × cols, overwritten: err
 */
export function columnwiseSweep(codes: Uint8Array, errors: Float32Array, options: ColumnwiseOptions): void {
  const { w, scales, rows, cols, segments, salient } = options;
  const stride = scalesPerBlock(options);
  const factor = Float64Array.from(options.factor);
  const levels = new Float64Array(8 * (segments + 1)), x = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    fillLevels(levels, scales, r * stride, { segments, salient });
    for (let j = 0; j < cols; j++) x[j] = w[row + j];
    for (let j = 0; j < cols; j++) {
      const v = x[j], line = j * cols;
      let code = codes[row + j], q = 0;
      if ((code & KEPT) !== 0) {
        code = nearest(levels, code & ~(SIGN | SECOND_SIGN), v);
        codes[row + j] = code;
        q = levels[code];
      }
      const error = (v - q) / factor[line + j];
      errors[row + j] = error;
      if (error !== 0) { for (let k = j + 1; k < cols; k++) x[k] -= error * factor[line + k]; }
    }
  }
}

/** The code of the level of a group nearest to v; of equal ones the first of ++, +−, −+, −−. */
function nearest(levels: Float64Array, group: number, v: number): number {
  let best = group | SIGN;
  if (group !== KEPT) return Math.abs(v - levels[group]) < Math.abs(v - levels[best]) ? group : best;
  best |= SECOND_SIGN;
  let least = Math.abs(v - levels[best]);
  for (let i = 1; i < 4; i++) {
    const code = group | (i < 2 ? SIGN : 0) | (i === 2 ? SECOND_SIGN : 0);
    const distance = Math.abs(v - levels[code]);
    if (distance < least) {
      least = distance;
      best = code;
    }
  }
  return best;
}
