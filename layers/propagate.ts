/**
 * The weights that meet what a layer puts out in the original model, on the inputs that it now sees (QEP arXiv 2504.09629; GPTAQ arXiv
 * 2504.02692): what stands for the layer's own weights in everything after it.
 */
import { type Device, type DeviceBuffer, type Matrix, matrix, part } from "../kernels/device.ts";
import { type Factor, gemm, solveRight, subtract, unpack } from "../kernels/matrix/ops.ts";

/** Rows of H that are unpacked at once. */
const STRIP = 256;

/** What the target is made of. */
export interface TargetParts {
  /** Packed upper triangle of H. */
  readonly packed: DeviceBuffer<"f32">;
  /** C = (2/ns)·X_oᵀX, cols × cols; becomes C − H. */
  readonly cross: Matrix;
  /** p times the residual's (R_o − R)ᵀX, rows × cols. */
  readonly residual?: Matrix;
  /** Of H + δI. */
  readonly factor: Factor;
  /** p: 0 changes nothing, 1 meets the original outputs as well as damping lets it. */
  readonly share: number;
}

/**
 * w := (1 − p)·w + p·w(C + δI)(H + δI)⁻¹, which is w + p·w(C − H)(H + δI)⁻¹: so w changes by nothing where both models' inputs are alike,
 * whatever rounding does to the factor. What w says about an input that is dead now, but was not in the original model, is taken over by
 * the others. With a residual stream that the layer is added to, R now and R_o in the original model, it makes up for their difference,
 * too: w + p·(w(C − H) + (2/ns)·(R_o − R)ᵀX)(H + δI)⁻¹ (WaterSIC, arXiv 2603.04956).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../kernels/cpu.ts";
 * import { matrix } from "../kernels/device.ts";
 * import { factorHessian } from "../kernels/matrix/ops.ts";
 * import { propagate } from "./propagate.ts";
 *
 * // One input, which was twice as large in the original model: half of the way to twice the weight.
 * const device = openCpuDevice(), packed = device.upload("f32", Float32Array.of(4));
 * const factor = factorHessian(device, packed, { size: 1, group: 1, damping: 0 });
 * const cross = matrix(device.upload("f32", Float32Array.of(8)), 1, 1);
 * const w = matrix(device.upload("f32", Float32Array.of(3)), 1, 1);
 * propagate(device, w, { packed, cross, factor, share: 0.5 });
 * assert.deepEqual(await device.download([w.buffer]), [Float32Array.of(4.5)]);
 * await device.destroy();
 * ```
 * @param w rows × cols, changed in place
 */
export function propagate(device: Device, w: Matrix, { packed, cross, residual, factor, share }: TargetParts): void {
  const { rows, cols } = w;
  lessHessian(device, cross, packed);
  const change = matrix(device.alloc("f32", rows * cols), rows, cols);
  device.run(gemm, change, w, cross, { alpha: -share });
  if (residual) device.run(subtract, change, change, residual);
  solveRight(device, factor, change);
  device.run(subtract, w, w, change);
  device.release(change.buffer);
}

/** cross := cross − H. @param packed upper triangle of H */
export function lessHessian(device: Device, cross: Matrix, packed: DeviceBuffer<"f32">): void {
  const { cols } = cross, height = Math.min(STRIP, cols);
  const strip = device.alloc("f32", height * cols);
  for (let row = 0; row < cols; row += height) {
    const count = Math.min(height, cols - row);
    const h = matrix(strip, count, cols), c = part(cross, { row, rows: count });
    device.run(unpack, h, packed, { size: cols, row, col: 0 });
    device.run(subtract, c, c, h);
  }
  device.release(strip);
}
