/**
 * Coordinate descent over the signs: each kept weight in turn takes the level of its group that lowers its row's error
 * most.
 */
import { fillLevels } from "./decode.ts";
import type { Matrix } from "../device.ts";
import { type BlockShape, KEPT, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";

/** Signs in the order in which they are tried: salient weights have two of them, others one. */
const SALIENT_CHOICES = Uint8Array.of(SIGN | SECOND_SIGN, SIGN, SECOND_SIGN, 0);
const SEGMENT_CHOICES = Uint8Array.of(SIGN, 0);

/** Input of `resignSweep`. */
export interface ResignOptions {
  /** rows × cols: (w − ŵ)·S with ŵ decoded from `codes` and `scales`. */
  readonly residual: Float32Array;
  /** cols × cols: S, symmetric. */
  readonly gram: Float32Array;
  /** rows × scales of a row */
  readonly scales: Float32Array;
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
}

/** Operands of `resign`; see `ResignOptions`. */
export interface ResignOperands extends BlockShape {
  readonly residual: Matrix;
  readonly gram: Matrix;
  readonly scales: Matrix;
}

/**
 * One sweep over the columns. Changing a weight by δ changes (w − ŵ)S(w − ŵ)ᵀ by −2δ·[(w − ŵ)S]_j + δ²·S_jj; the level
 * with the least of these is taken, the first of equal ones in the order ++, +−, −+, −−.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "./quantized_layer.ts";
 * const code = 1 << GROUP_SHIFT | KEPT, codes = Uint8Array.of(code), gram = Float32Array.of(1);
 * // w = 2 with the levels −1 and 1: the residual is 3 as long as the sign is negative.
 * const shape = { rows: 1, cols: 1, segments: 1, salient: false };
 * resignSweep(codes, { ...shape, residual: Float32Array.of(3), gram, scales: Float32Array.of(0, 1) });
 * assert.deepEqual([...codes], [code | SIGN]);
 * ```
 * @param codes rows × cols: signs of the kept weights are changed, groups and masks are not
 */
export function resignSweep(codes: Uint8Array, options: ResignOptions): void {
  const { residual, gram, scales, rows, cols, segments, salient } = options;
  const stride = scalesPerBlock(options);
  const levels = new Float64Array(8 * (segments + 1));
  const rest = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    fillLevels(levels, scales, r * stride, { segments, salient });
    for (let j = 0; j < cols; j++) rest[j] = residual[row + j];
    for (let j = 0; j < cols; j++) {
      const code = codes[row + j];
      if ((code & KEPT) === 0) continue;
      const old = levels[code], pull = 2 * rest[j], line = j * cols, curve = gram[line + j];
      const group = code & ~(SIGN | SECOND_SIGN), choices = group === KEPT ? SALIENT_CHOICES : SEGMENT_CHOICES;
      let best = code, least = Infinity;
      for (let i = 0; i < choices.length; i++) {
        const candidate = group | choices[i], delta = levels[candidate] - old, change = delta * (delta * curve - pull);
        if (change < least) {
          least = change;
          best = candidate;
        }
      }
      if (best === code) continue;
      codes[row + j] = best;
      const delta = levels[best] - old;
      for (let k = j + 1; k < cols; k++) rest[k] -= delta * gram[line + k];
    }
  }
}
