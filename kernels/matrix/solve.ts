/** Equations with a factored Hessian (`factor.ts`), from the right, for many rows at once. */
import { type Device, type Matrix, matrix, part } from "../device.ts";
import { copy } from "./elementwise_ops.ts";
import type { Factor } from "./factor.ts";
import { gemm } from "./gemm_ops.ts";

/**
 * y := y·(R·Rᵀ)⁻¹, that is y·(H + damping·mean(diag H)·I)⁻¹: first y·R⁻ᵀ from the last block of columns to the first, then that times
 * R⁻¹ from the first to the last. Only R and the inverses of its diagonal blocks are needed, and all of it is products.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../cpu.ts";
 * import { matrix } from "../device.ts";
 * import { factorHessian } from "./factor.ts";
 * import { solveRight } from "./solve.ts";
 *
 * const device = openCpuDevice(), h = device.upload("f32", Float32Array.of(5, 2, 4));
 * const factor = factorHessian(device, h, { size: 2, group: 2, damping: 0 });
 * const y = matrix(device.upload("f32", Float32Array.of(7, 6)), 1, 2);
 * solveRight(device, factor, y);
 * assert.deepEqual(await device.download([y.buffer]), [Float32Array.of(1, 1)]);
 * await device.destroy();
 * ```
 * @param y rows × size, changed in place
 * @throws {RangeError} when y has other columns than the factor
 */
export function solveRight(device: Device, { size, panels, inverses }: Factor, y: Matrix): void {
  if (y.cols !== size) {
    throw new RangeError(`Cannot solve with a factor of ${size} columns: there are ${y.cols}`);
  }
  const blocks: { readonly col: number; readonly cols: number }[] = [];
  for (let b = 0, col = 0; b < panels.length; col += panels[b++].cols) blocks.push({ col, cols: panels[b].cols });
  const scratch = device.alloc("f32", y.rows * panels[0].cols);
  const times = (b: number, transposeB: boolean): Matrix => {
    const block = part(y, blocks[b]), solved = matrix(scratch, y.rows, block.cols);
    device.run(gemm, solved, block, inverses[b], { transposeB });
    device.run(copy, block, solved);
    return solved;
  };
  for (let b = blocks.length - 1; b >= 0; b--) {
    const solved = times(b, true), { col } = blocks[b];
    if (col === 0) continue;
    const above = part(panels[b], { rows: col });
    device.run(gemm, part(y, { cols: col }), solved, above, { transposeB: true, alpha: -1, beta: 1 });
  }
  for (let b = 0; b < blocks.length; b++) {
    const { col } = blocks[b];
    if (col > 0) {
      const above = part(panels[b], { rows: col });
      device.run(gemm, part(y, blocks[b]), part(y, { cols: col }), above, { alpha: -1, beta: 1 });
    }
    times(b, false);
  }
  device.release(scratch);
}
