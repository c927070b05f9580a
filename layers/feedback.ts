/** The feedback of a column block's error into later columns. */
import type { Device, Matrix } from "../kernels/device.ts";
import { gemm, subtract } from "../kernels/matrix/ops.ts";
import type { LayerSettings } from "./job.ts";
import type { Block } from "./methods/method.ts";

/**
 * Gᵀ of one block, from its weights, target and decoded values; see `quantizeLayer`.
 *
 * @param out width × rows
 */
export function feedBack(
  device: Device,
  out: Matrix,
  block: Block,
  { mode, inverse, inverseU }: {
    readonly mode: LayerSettings["feedback"]["mode"];
    readonly inverse: Matrix;
    readonly inverseU: Matrix;
  },
): void {
  if (mode === "exact") return device.run(subtract, out, block.w, block.decoded, { transposed: true });
  if (mode === "diagonal") device.run(subtract, block.scratch, block.target, block.decoded, { scale: inverseU });
  device.run(subtract, out, block.w, block.target, { transposed: true });
  device.run(gemm, out, inverse, block.scratch, { transposeA: true, transposeB: true, beta: 1 });
}
