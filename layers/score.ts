/** Scores of weights, by the recipe's metric. */
import { type Device, type Matrix, part } from "../kernels/device.ts";
import { importance } from "../kernels/scores/ops.ts";
import type { MaskJob } from "./job.ts";
import type { OpenLayer } from "./open.ts";

/** Scores one column block. */
export function scoreBlock(
  device: Device,
  out: Matrix,
  w: Matrix,
  { job, layer, col }: { readonly job: MaskJob; readonly layer: OpenLayer; readonly col: number },
): void {
  const { metric, seed } = job.settings.search;
  const cut = (m: Matrix | undefined) => m && part(m, { col, cols: w.cols });
  device.run(importance, out, w, {
    metric,
    diagonalU: cut(layer.diagonalU),
    inverseDiagonal: cut(layer.inverseDiagonal),
    inputNorm: cut(layer.inputNorm),
    rowSums: layer.rowSums,
    columnSums: cut(layer.columnSums),
    moments: layer.moments,
    seed,
    firstColumn: col,
  });
}
