/** The search for the cut outside salient columns, as operations on a device: every candidate's residual is made, and in ARB-X meets S. */
import { chooseSplit, splitCandidates, splitResiduals } from "../kernels/binary/ops.ts";
import { type Device, type Matrix, matrix, part } from "../kernels/device.ts";
import { addDot, gemm, subtract } from "../kernels/matrix/ops.ts";
import { decodeRefined, meansPerRow, refineMeans } from "../kernels/refinement/ops.ts";
import type { Scope } from "./scope.ts";

/** Rows of residuals that are multiplied by S at a time. */
const ROWS_AT_ONCE = 8192;

/** While a cut is judged: salient columns with two signs, the others in two groups of one. */
const SHAPE = { doubled: 1, single: 2 } as const;

/**
 * The search, with the buffers that all blocks of a layer share.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../kernels/cpu.ts";
 * import { matrix } from "../kernels/device.ts";
 * import { Scope } from "./scope.ts";
 * import { WeightedSplit } from "./weighted_split.ts";
 *
 * const device = openCpuDevice(), scope = new Scope(device);
 * const values = matrix(scope.upload("f32", Float32Array.of(9, 1, 7, 1, 7, 1)), 1, 6);
 * const salient = matrix(scope.upload("u8", Uint8Array.of(1, 0, 0, 0, 0, 0)), 1, 6), codes = scope.matrix("u8", 1, 6);
 * const split = new WeightedSplit(device, scope, { rows: 1, width: 6, params: { candidates: 9, iterations: 15 } });
 * split.search(codes, { values, salient, firstGroup: 1 });
 * assert.deepEqual([...(await device.download([codes.buffer]))[0]].map((code) => code >> 3), [0, 1, 2, 1, 2, 1]);
 * await device.destroy();
 * ```
 */
export class WeightedSplit {
  readonly #device: Device;
  readonly #iterations: number;
  readonly #atOnce: number;
  readonly #codes: Matrix<"u8">;
  readonly #scales: Matrix;
  /** rows × width: what is left in salient columns. */
  readonly #rest: Matrix;
  /** (candidates at once · rows) × width: what they leave, and that times S. */
  readonly #residuals: Matrix;
  readonly #products: Matrix;
  readonly #candidates: Matrix;
  readonly #errors: Matrix;

  constructor(device: Device, scope: Scope, { rows, width, params }: {
    readonly rows: number;
    /** Columns of a block, at most. */
    readonly width: number;
    readonly params: { readonly candidates: number; readonly iterations: number };
  }) {
    const atOnce = Math.max(1, Math.min(params.candidates, Math.floor(ROWS_AT_ONCE / rows)));
    this.#device = device;
    this.#iterations = params.iterations;
    this.#atOnce = atOnce;
    this.#codes = scope.matrix("u8", rows, width);
    this.#scales = scope.matrix("f32", rows, meansPerRow(SHAPE));
    this.#rest = scope.matrix("f32", rows, width);
    this.#residuals = scope.matrix("f32", atOnce * rows, width);
    this.#products = scope.matrix("f32", atOnce * rows, width);
    this.#candidates = scope.matrix("f32", 1, params.candidates);
    this.#errors = scope.matrix("f32", 1, params.candidates);
  }

  /**
   * Cuts a block.
   *
   * @param codes rows × width, overwritten by groups: 0 in salient columns, else `firstGroup` and the next
   */
  search(codes: Matrix<"u8">, split: {
    /** rows × width: what is cut by size, and binarized to judge a cut. */
    readonly values: Matrix;
    readonly salient: Matrix<"u8">;
    readonly firstGroup: number;
    /** width × width: S; without it squares are summed. */
    readonly gram?: Matrix;
  }): void {
    const { values, salient, firstGroup, gram } = split, { rows, cols } = values;
    const device = this.#device, candidates = this.#candidates, errors = this.#errors;
    const fit = (m: Matrix) => matrix(m.buffer, rows, cols), own = matrix(this.#codes.buffer, rows, cols);
    const rest = fit(this.#rest), shape = SHAPE, iterations = this.#iterations;
    device.run(splitCandidates, candidates, { values, salient });
    // What is left of salient columns, refined; any cut of the others does.
    device.run(chooseSplit, own, { values, salient, candidates, errors, firstGroup: 1 });
    device.run(refineMeans, own, this.#scales, { ...shape, w: values, iterations });
    device.run(decodeRefined, rest, { ...shape, codes: own, scales: this.#scales });
    device.run(subtract, rest, values, rest);
    device.run(subtract, errors, errors, errors);
    for (let first = 0; first < candidates.cols; first += this.#atOnce) {
      const count = Math.min(this.#atOnce, candidates.cols - first);
      const residuals = matrix(this.#residuals.buffer, count * rows, cols);
      const products = matrix(this.#products.buffer, count * rows, cols);
      device.run(splitResiduals, residuals, { values, salient, rest, candidates, first });
      if (gram) device.run(gemm, products, residuals, gram);
      const other = gram ? products : residuals;
      for (let k = 0; k < count; k++) {
        const of = { row: k * rows, rows };
        device.run(addDot, part(errors, { col: first + k, cols: 1 }), part(residuals, of), part(other, of), 1);
      }
    }
    device.run(chooseSplit, codes, { values, salient, candidates, errors, firstGroup });
  }
}
